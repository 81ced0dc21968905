"""EDGES is the one list of an order's status changes: database, SQL and decisions agree with it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib import resources
from itertools import product
from typing import Final
from uuid import UUID

import pytest

from autogrocery.gateway.core.order import (
    EDGES,
    TERMINAL,
    Decision,
    Fact,
    Intent,
    Order,
    OrderResult,
    Status,
    compute_result,
    on_cancel,
    on_confirm,
)
from autogrocery.gateway.store import transitions, writes
from autogrocery.kit.errors import Refused

Pair = tuple[str, str]
PAIRS: Final = {(start.value, end.value) for (start, _), end in EDGES.items()}
FINISHES: Final = {Fact.PICKED, Fact.NOTHING_PICKED}
RELEASES: Final = {Fact.RELEASED_ON_CANCEL, Fact.RELEASED_ON_EXPIRY, Fact.RELEASED_UNSERVED}
MIGRATIONS: Final = resources.files("autogrocery.gateway.store.migrations")
MIGRATION: Final = MIGRATIONS.joinpath("0002_orders.sql").read_text(encoding="utf-8")
TRIGGERS: Final = MIGRATIONS.joinpath("0006_order_writes.sql").read_text(encoding="utf-8")
CHECK: Final = MIGRATIONS.joinpath("0007_history_follows_the_edges.sql").read_text(encoding="utf-8")
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)

# Each statement that changes a status: its SQL, what its parameters may be, and the facts that it commits.
STATEMENTS: Final = {
    "dispatch": (writes.WRITE, {"to_status": ["PROCESSING"], "even_if_idle": [False, True]}, {Fact.DISPATCHED}),
    "finish": (writes.WRITE, {"to_status": ["COMPLETED", "FAILED"], "even_if_idle": [False, True]}, FINISHES),
    "mark released": (transitions.MARK_RELEASED, {}, RELEASES),
    "mark unreleasable": (transitions.MARK_UNRELEASABLE, {"p4": [1]}, {Fact.DISPATCHED}),
}


def pairs_of(facts: set[Fact]) -> set[Pair]:
    return {(start.value, end.value) for (start, fact), end in EDGES.items() if fact in facts}


def order(status: Status, intent: Intent | None = None, release_as: Status | None = None) -> Order:
    return Order(
        UUID(int=1), 1, status, 1, "USD", 0, 0, (), AT, AT, overdue=False, intent=intent, release_as=release_as
    )


def check(name: str) -> str:
    """Return the condition of a CHECK constraint of grocery_orders."""
    found = re.search(rf"CONSTRAINT {name} CHECK \((.*?)\)(?:,\n|\n\);)", MIGRATION, re.DOTALL)
    assert found
    return found[1]


def rows() -> list[dict[str, object]]:
    """Return every combination of status, intent and release_as that the migration's CHECKs allow."""
    conditions = [
        check("dispatch_is_owed_by_a_previewed_order"),
        check("release_is_owed_by_a_living_order"),
        check("status_is_known"),
        check("intent_is_known"),
    ]
    where = " AND ".join(f"coalesce(({one}), true)" for one in conditions)  # a CHECK lets NULL pass
    every = product(Status, (None, *Intent), (None, *Status))
    with closing(sqlite3.connect(":memory:")) as database:
        return [
            {"status": status, "intent": intent, "release_as": release_as}
            for status, intent, release_as in every
            if database.execute(
                f"SELECT 1 FROM (SELECT ? AS status, ? AS intent, ? AS release_as) WHERE {where}",
                (status, intent, release_as),
            ).fetchone()
        ]


def moves_of(sql: str, parameters: dict[str, list[object]]) -> set[Pair]:
    """Evaluate the WHERE and the SET of a statement's UPDATE for every possible row: the status before and after."""
    update = re.search(
        r"UPDATE grocery_orders.*?SET status = (.*?), (?:version|intent)\b.*?\n\s+WHERE (.*?)(?:RETURNING|\Z)",
        sql,
        re.DOTALL,
    )
    assert update
    target, where = (re.sub(r"\$(\d+)", r":p\1", re.sub(r"\b(o|w|was)\.", "", part)) for part in update.groups())
    found = set()
    with closing(sqlite3.connect(":memory:")) as database:
        for row, values in product(rows(), product(*parameters.values())):
            given = {**row, **dict(zip(parameters, values, strict=True)), "p1": 1}
            columns = ", ".join(f":{name} AS {name}" for name in given if not re.fullmatch(r"p\d", name))
            result = database.execute(
                f"SELECT status, {target} FROM (SELECT 1 AS order_id, 1 AS version, {columns}) WHERE {where}",
                given,
            ).fetchone()
            if result and result[1] is not None:  # the column is NOT NULL
                found.add(result)
    return found


def one_by_one(found: set[Pair]) -> set[Pair]:
    """Split each finish of a PREVIEWED order into the two changes that the statement writes to the history."""
    direct = {(start, end) for start, end in found if start == "PROCESSING"}
    split = {("PROCESSING", end) for start, end in found if start == "PREVIEWED"} | {("PREVIEWED", "PROCESSING")}
    return direct | split


def test_the_edge_table_of_the_migration_is_edges() -> None:
    insert = MIGRATION[MIGRATION.index("INSERT INTO order_edges") : MIGRATION.index("CREATE TABLE grocery_orders")]
    assert set(re.findall(r"\('(\w+)',\s+'(\w+)'\)", insert)) == PAIRS


def steps_of(rule: str) -> set[str]:
    """Return the elements of the array in a trigger of migration 0006, or in the CHECK of 0007."""
    found = re.search(rf"{rule}\b.*?\('{{(.*?)}}'::text\[\]\)", TRIGGERS + CHECK, re.DOTALL)
    assert found
    return {step.strip() for step in found[1].split(",")}


def test_the_trigger_allows_edges_no_step_of_a_living_order_and_the_finish_of_a_previewed_order() -> None:
    assert EDGES[Status.PREVIEWED, Fact.DISPATCHED] is Status.PROCESSING
    no_steps = {f"0 {status} {status}" for status in Status if status not in TERMINAL}
    one_step = {f"1 {start} {end}" for start, end in PAIRS}
    two_steps = {f"2 {Status.PREVIEWED} {end}" for _, end in pairs_of(FINISHES)}
    assert steps_of("TRIGGER status_follows_the_edges") == no_steps | one_step | two_steps


def test_the_check_of_the_history_allows_a_first_preview_and_then_the_edges() -> None:
    version = {Status.PREVIEWED: 1}
    while len(version) < len(Status):
        version |= {end: version[start] + 1 for (start, _), end in EDGES.items() if start in version}
    changes = {f"{version[Status(start)] + 1} {start} {end}" for start, end in PAIRS}
    assert steps_of("CONSTRAINT history_follows_the_edges") == {f"1  {Status.PREVIEWED}"} | changes


@pytest.mark.parametrize(("sql", "parameters", "facts"), STATEMENTS.values(), ids=STATEMENTS)
def test_each_statement_changes_the_status_along_the_edges_of_its_facts_only(
    sql: str, parameters: dict[str, list[object]], facts: set[Fact]
) -> None:
    found = moves_of(sql, parameters)
    if facts == FINISHES:
        assert one_by_one(found) == pairs_of(facts | {Fact.DISPATCHED})
    else:
        assert {(start, end) for start, end in found if start != end} == pairs_of(facts)


def test_every_fact_is_committed_by_a_statement() -> None:
    assert set().union(*(facts for _, _, facts in STATEMENTS.values())) == set(Fact) == {fact for _, fact in EDGES}


@pytest.mark.parametrize("status", Status)
def test_confirm_and_cancel_act_only_where_an_edge_leads_on(status: Status) -> None:
    for decide, fact in ((on_confirm, Fact.DISPATCHED), (on_cancel, Fact.RELEASED_ON_CANCEL)):
        try:
            acts = decide(order(status)) is Decision.ACT
        except Refused:
            acts = False
        assert acts == ((status, fact) in EDGES), fact


@pytest.mark.parametrize("fact", Fact)
def test_a_result_is_computed_for_the_facts_that_finish_a_processing_order(fact: Fact) -> None:
    if fact in FINISHES:
        result = compute_result(order(Status.PROCESSING), fact, None)
        assert isinstance(result, OrderResult)
        assert result.status is EDGES[Status.PROCESSING, fact]
        assert result.status in TERMINAL
