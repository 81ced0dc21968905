"""The protocol model: no reachable world violates an invariant, and omitting any rule of docs/PROTOCOL.md leads to a
violation."""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from itertools import product

import pytest

from autogrocery.gateway.core.order import EDGES, TERMINAL, Intent, Status
from autogrocery.gateway.store import transitions as sql
from autogrocery.gateway.store import writes
from tests.harness import figures
from tests.proofs.model import row_transitions
from tests.proofs.model.explore import Explored, explore
from tests.proofs.model.world import Rule, Setting

TWO_BASKETS = ("a", "b")
POSSIBLE = {*product({Status.PREVIEWED}, (None, *Intent)), *product({Status.PROCESSING}, (None, Intent.RELEASE))} | {
    *product(TERMINAL, (None,))  # what the database's CHECKs allow
}

CONFIGURATIONS = {
    "two late requests": (Setting(), 20_000),
    "failover": (Setting(failover=True, in_flight=1), 30_000),
    "two baskets under one key": (Setting(baskets=TWO_BASKETS, in_flight=1), 45_000),
}

VIOLATIONS = {
    Rule.UNGUARDED_UPDATE: "PROCESSING, but no robots have it",
    Rule.WEBHOOK_FROM_ANY_STATUS: "COMPLETED, but to inventory it is HELD",
    Rule.TERMINAL_BEFORE_ACK: "CANCELLED, but robots have it",
    Rule.TOLD_BEFORE_ACK: "the device saw EXPIRED, and now it is PROCESSING",
    Rule.REFUSAL_INFERRED_FROM_ERROR: "the device saw FAILED, and now",
    Rule.RELEASE_INFERRED_FROM_ERROR: "CANCELLED, nothing owed, and the stock still held",
    Rule.COMMIT_PROCESSING_BEFORE_CALL: "PROCESSING, but no robots have it: HELD",
    Rule.PROMISE_NOT_WRITTEN: "a promised dispatch expired",
    Rule.EXPIRY_IGNORES_PROMISE: "a promised dispatch expired",
    Rule.RELEASE_AS_BY_PARAMETER: "the device saw PROCESSING, and now it is EXPIRED",
    Rule.NO_SWEEPER: "stuck for ever: row PREVIEWED/DISPATCH",
    Rule.NO_EXPIRER: "stuck for ever",
    Rule.NO_RECONCILER: "stuck for ever",
    Rule.ASSIGN_NOT_IDEMPOTENT: "a second dispatch",
    Rule.REGISTER_FORGOTTEN: "PROCESSING, but no robots have it: UNKNOWN",
    Rule.NO_TOMBSTONE: "CANCELLED, nothing owed, and the stock still held",
    Rule.RELEASE_REVOKES_STARTED: "CANCELLED, but robots have it",
    Rule.PICK_WITHOUT_START: "CANCELLED, but robots have it",
    Rule.ASSIGN_USES_THE_HOLD: "basket a was quoted, robots pick b",
    Rule.NO_ITEMS_COMPARED: "basket b was quoted, robots pick a",
}
HARMLESS_ALONE = {Rule.RESERVE_IGNORES_ITEMS}
NEEDS_TWO_BASKETS = {Rule.ASSIGN_USES_THE_HOLD, Rule.NO_ITEMS_COMPARED}

GUARDS = {
    "mark dispatched": (
        writes.WRITE,
        {"to_status": "PROCESSING", "even_if_idle": True},
        row_transitions.MARK_DISPATCHED,
    ),
    "promise dispatch": (sql.PROMISE_DISPATCH, {}, row_transitions.PROMISE_DISPATCH),
    "promise release": (sql.PROMISE_RELEASE, {"p2": "FAILED"}, row_transitions.PROMISE_RELEASE),
    "promise cancel": (sql.PROMISE_RELEASE, {"p2": "CANCELLED"}, row_transitions.PROMISE_CANCEL),
    "expire": (sql.PROMISE_RELEASE_IDLE, {"p2": "EXPIRED"}, row_transitions.PROMISE_RELEASE_IDLE),
    "supersede": (sql.PROMISE_RELEASE_IDLE, {"p2": "CANCELLED"}, row_transitions.PROMISE_RELEASE_IDLE),
    "mark released": (sql.MARK_RELEASED, {}, row_transitions.MARK_RELEASED),
    "mark unreleasable": (sql.MARK_UNRELEASABLE, {"p4": 1}, row_transitions.MARK_UNRELEASABLE),
    "finish": (writes.WRITE, {"to_status": "COMPLETED", "even_if_idle": False}, row_transitions.FINISH),
    "finish even if idle": (
        writes.WRITE,
        {"to_status": "FAILED", "even_if_idle": True},
        row_transitions.FINISH_EVEN_IF_IDLE,
    ),
}


@cache
def explored(setting: Setting) -> Explored:
    return explore(setting)


@pytest.mark.parametrize(("setting", "at_least"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_no_reachable_world_violates_the_protocol(setting: Setting, at_least: int) -> None:
    found = explored(setting)
    assert found.violation is None, str(found)
    assert found.worlds > at_least
    figures.record(worlds=found.worlds)


@pytest.mark.parametrize("omitted", VIOLATIONS, ids=lambda omitted: omitted.name.lower())
def test_an_omitted_rule_leads_to_its_violation(omitted: Rule) -> None:
    found = explore(
        Setting(omitted=omitted, in_flight=1, baskets=TWO_BASKETS if omitted in NEEDS_TWO_BASKETS else ("a",))
    )
    assert found.violation, f"nothing happens without: {omitted}"
    assert found.violation.startswith(VIOLATIONS[omitted]), str(found)


def test_every_rule_is_omitted_once() -> None:
    assert VIOLATIONS.keys() | HARMLESS_ALONE == set(Rule)


def test_the_status_takes_every_edge_and_no_other() -> None:
    assert explored(Setting()).edges == set(EDGES)


@pytest.mark.parametrize(("statement", "arguments", "guard"), GUARDS.values(), ids=GUARDS)
def test_the_guards_of_the_model_equal_those_of_the_sql(
    statement: str, arguments: dict[str, object], guard: row_transitions.Guard
) -> None:
    """SQLite evaluates the WHERE of each statement for every status and intent that a row may have."""
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
    """K4 suffices: a Reserve that does not compare items misplaces a hold, not an order."""
    found = explore(Setting(omitted=Rule.RESERVE_IGNORES_ITEMS, baskets=TWO_BASKETS, in_flight=0))
    assert found.violation is None, str(found)


def test_a_release_reply_counts_only_for_the_status_in_which_it_was_requested() -> None:
    """Otherwise two callers get ALREADY_ASSIGNED for an expiry, and one commits it after a cancel has withdrawn the
    robots."""
    found = explore(Setting(fenced=False, in_flight=0))
    assert found.violation == "PROCESSING, but no robots have it: RELEASED", str(found)


def test_limit_a_lost_insert_and_another_basket_under_its_key_dispatch_the_first_basket() -> None:
    """It needs a lost acknowledged insert and a first dispatch that is still under way after its hold has lapsed."""
    found = explore(Setting(failover=True, baskets=TWO_BASKETS, in_flight=1))
    assert found.violation == "basket b was quoted, robots pick a", str(found)
    assert "failover: the last commit is lost" in found.trace


def test_limit_a_confirm_refused_before_the_acknowledgement_may_be_dispatched() -> None:
    """docs/CONTRACT.md#confirm-and-cancel returns 410 or 409 while the dispatch of another confirm may still succeed:
    the status is right, the refusal was not."""
    found = explore(Setting(refusals_are_words=True, in_flight=1))
    assert found.violation == "the device saw EXPIRED, and now it is PROCESSING", str(found)
