"""One order, right whatever dies: every reachable world, and what becomes of it when a rule of PROTOCOL.md is dropped."""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from itertools import product

import pytest

from autogrocery.gateway.core.order import EDGES, TERMINAL, Intent, Status
from autogrocery.gateway.store import moves as sql
from autogrocery.gateway.store import writes
from tests.harness import figures
from tests.proofs.model import moves
from tests.proofs.model.explore import Explored, explore
from tests.proofs.model.world import Drop, Setting

BOTH = ("a", "b")
POSSIBLE = {*product({Status.PREVIEWED}, (None, *Intent)), *product({Status.PROCESSING}, (None, Intent.RELEASE))} | {
    *product(TERMINAL, (None,))  # what the database's CHECKs let stand
}

HOLDS = {
    "two late requests": (Setting(), 20_000),
    "failover": (Setting(failover=True, late=1), 30_000),
    "two baskets under one key": (Setting(baskets=BOTH, late=1), 45_000),
}

HARMS = {
    Drop.UNGUARDED_UPDATE: "PROCESSING, but no robots have it",
    Drop.WEBHOOK_FROM_ANY_STATUS: "COMPLETED, but to inventory it is HELD",
    Drop.TERMINAL_BEFORE_ACK: "CANCELLED, but robots have it",
    Drop.TOLD_BEFORE_ACK: "told EXPIRED, and now PROCESSING",
    Drop.REFUSAL_INFERRED_FROM_ERROR: "told FAILED, and now",
    Drop.RELEASE_INFERRED_FROM_ERROR: "CANCELLED, nothing owed, and the stock still held",
    Drop.COMMIT_PROCESSING_BEFORE_CALL: "PROCESSING, but no robots have it: HELD",
    Drop.PROMISE_NOT_WRITTEN: "a promised dispatch expired",
    Drop.EXPIRY_IGNORES_PROMISE: "a promised dispatch expired",
    Drop.RELEASE_AS_BY_PARAMETER: "told PROCESSING, and now EXPIRED",
    Drop.NO_SWEEPER: "stuck for ever: row PREVIEWED/DISPATCH",
    Drop.NO_EXPIRER: "stuck for ever",
    Drop.NO_RECONCILER: "stuck for ever",
    Drop.ASSIGN_NOT_IDEMPOTENT: "a second dispatch",
    Drop.REGISTER_FORGOTTEN: "PROCESSING, but no robots have it: UNKNOWN",
    Drop.NO_TOMBSTONE: "CANCELLED, nothing owed, and the stock still held",
    Drop.RELEASE_REVOKES_STARTED: "CANCELLED, but robots have it",
    Drop.PICK_WITHOUT_START: "CANCELLED, but robots have it",
    Drop.ASSIGN_USES_THE_HOLD: "basket a was quoted, robots pick b",
    Drop.NO_ITEMS_COMPARED: "basket b was quoted, robots pick a",
}
HARMLESS_ALONE = {Drop.RESERVE_IGNORES_ITEMS}
NEEDS_TWO_BASKETS = {Drop.ASSIGN_USES_THE_HOLD, Drop.NO_ITEMS_COMPARED}

GUARDS = {
    "mark dispatched": (writes.WRITE, {"to_status": "PROCESSING", "even_if_idle": True}, moves.MARK_DISPATCHED),
    "promise dispatch": (sql.PROMISE_DISPATCH, {}, moves.PROMISE_DISPATCH),
    "promise release": (sql.PROMISE_RELEASE, {"p2": "FAILED"}, moves.PROMISE_RELEASE),
    "promise cancel": (sql.PROMISE_RELEASE, {"p2": "CANCELLED"}, moves.PROMISE_CANCEL),
    "expire": (sql.PROMISE_RELEASE_IDLE, {"p2": "EXPIRED"}, moves.PROMISE_RELEASE_IDLE),
    "supersede": (sql.PROMISE_RELEASE_IDLE, {"p2": "CANCELLED"}, moves.PROMISE_RELEASE_IDLE),
    "mark released": (sql.MARK_RELEASED, {}, moves.MARK_RELEASED),
    "mark unreleasable": (sql.MARK_UNRELEASABLE, {"p4": 1}, moves.MARK_UNRELEASABLE),
    "finish": (writes.WRITE, {"to_status": "COMPLETED", "even_if_idle": False}, moves.FINISH),
    "finish even if idle": (writes.WRITE, {"to_status": "FAILED", "even_if_idle": True}, moves.FINISH_EVEN_IF_IDLE),
}


@cache
def explored(setting: Setting) -> Explored:
    return explore(setting)


@pytest.mark.parametrize(("setting", "at_least"), HOLDS.values(), ids=HOLDS)
def test_the_protocol_holds(setting: Setting, at_least: int) -> None:
    found = explored(setting)
    assert found.harm is None, str(found)
    assert found.worlds > at_least
    figures.tell(worlds=found.worlds)


@pytest.mark.parametrize("drop", HARMS, ids=lambda drop: drop.name.lower())
def test_a_dropped_rule_is_caught(drop: Drop) -> None:
    found = explore(Setting(drop=drop, late=1, baskets=BOTH if drop in NEEDS_TWO_BASKETS else ("a",)))
    assert found.harm, f"nothing happens without: {drop}"
    assert found.harm.startswith(HARMS[drop]), str(found)


def test_every_rule_is_dropped_once() -> None:
    assert HARMS.keys() | HARMLESS_ALONE == set(Drop)


def test_the_status_moves_along_every_edge_and_along_no_other() -> None:
    assert explored(Setting()).edges == set(EDGES)


@pytest.mark.parametrize(("statement", "arguments", "guard"), GUARDS.values(), ids=GUARDS)
def test_the_guards_of_the_model_are_those_of_the_sql(
    statement: str, arguments: dict[str, object], guard: moves.Guard
) -> None:
    """The WHERE itself is evaluated for every status and intent that a row may have, by the SQL engine at hand."""
    found = re.search(r"UPDATE grocery_orders.*?\n\s+WHERE (.*?)(?:RETURNING|\Z)", statement, re.DOTALL)
    assert found
    where = re.sub(r"\$(\d+)", r":p\1", re.sub(r"\b(o|w|was)\.", "", found[1]))
    database = sqlite3.connect(":memory:")
    database.create_function("now", 0, lambda: 1)
    own = "".join(f", :{name} AS {name}" for name in arguments if not name.startswith("p"))
    row = f"SELECT 1 AS order_id, 0 AS expires_at, 1 AS version, :status AS status, :intent AS intent{own}"
    passes = f"SELECT count(*) FROM ({row}) WHERE {where}"
    allowed = {
        (status, intent)
        for status, intent in POSSIBLE
        if database.execute(passes, {"p1": 1, "status": status, "intent": intent, **arguments}).fetchone() == (1,)
    }
    database.close()
    assert allowed == guard


def test_assign_saves_the_basket_when_reserve_does_not_compare() -> None:
    """K4 stands alone: what Reserve lets through costs a soft lock, not an order."""
    found = explore(Setting(drop=Drop.RESERVE_IGNORES_ITEMS, baskets=BOTH, late=0))
    assert found.harm is None, str(found)


def test_a_release_answer_counts_only_for_the_status_in_which_it_was_asked() -> None:
    """Else two callers hear ALREADY_ASSIGNED to an expiry, and one commits it after a cancel has withdrawn the robots."""
    found = explore(Setting(fenced=False, late=0))
    assert found.harm == "PROCESSING, but no robots have it: RELEASED", str(found)


def test_limit_a_lost_insert_and_another_basket_under_its_key_let_the_robots_pick_the_first() -> None:
    """Only when the database loses an acknowledged insert and the first dispatch is still on its way after the hold lapsed."""
    found = explore(Setting(failover=True, baskets=BOTH, late=1))
    assert found.harm == "basket b was quoted, robots pick a", str(found)
    assert "failover: the last commit is lost" in found.trace


def test_limit_a_confirm_refused_before_the_ack_may_have_been_overtaken() -> None:
    """CONTRACT §2.1 refuses (410, 409) while another confirm's dispatch may still get through: the status is right, the word was not."""
    found = explore(Setting(refusals_are_words=True, late=1))
    assert found.harm == "told EXPIRED, and now PROCESSING", str(found)
