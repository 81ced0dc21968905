"""The plans of the statements that take many: by index, also when they were made while the tables were empty."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import asyncpg

from autogrocery.inventory.store import dispatches, holds, picks, robots, webhooks
from autogrocery.kit.pg.batch import PLANNER
from autogrocery.kit.pg.outbox import Outbox
from tests.harness.inventory_stocked import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.kit.pg.batch import Many

SETTLE = Outbox(None, webhooks.TABLE, webhooks.KEY, None, types=webhooks.KEY_TYPES)._settle  # type: ignore[arg-type]
STATEMENTS = {
    "hold": holds.HOLD,
    "allocate": dispatches.ALLOCATE,
    "seen": robots.SEEN,
    "work": robots.WORK,
    "start": robots.START,
    "report": picks.REPORT,
    "finished": webhooks.FINISHED,
    "freeze": webhooks.FREEZE,
    "settle": SETTLE,
}
LEASES = {
    "leases_by_class",
    "leases_by_holder",
}  # partial: they hold what robots have in hand at this moment, and no more
TABLES = {"stock", "orders", "order_lines", "assignments", "robots", "webhook_outbox", "ledger"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def scans_of_tables(plan: dict[str, Any]) -> list[str]:
    """What a plan does to tables other than to look rows up by an index, or to write them."""
    return [
        f"{node['Node Type']} {node.get('Relation Name', '')}".strip()
        for node in nodes(plan)
        if (
            node.get("Relation Name") in TABLES
            and node["Node Type"] not in ("Index Scan", "Index Only Scan", "ModifyTable")
        )
        or node["Node Type"] in ("Hash Join", "Merge Join")
        or (node["Node Type"].startswith("Index") and "Index Cond" not in node and node["Index Name"] not in LEASES)
    ]


async def plan_of(connection: asyncpg.Connection[asyncpg.Record], name: str, many: Many) -> dict[str, Any]:
    nothing = ", ".join(["NULL"] * len(set(re.findall(r"\$(\d+)", many.sql))))
    (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE many_{name} ({nothing})")
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


async def test_every_statement_looks_rows_up_by_index_whenever_it_was_prepared(inventory_dsn: str) -> None:
    connection = await asyncpg.connect(inventory_dsn, server_settings=PLANNER)
    try:
        for name, many in STATEMENTS.items():
            await connection.execute(f"PREPARE many_{name} AS {many.sql}")
            await plan_of(connection, name, many)  # made here, and kept
        await fill(connection)
        kept = {name: scans_of_tables(await plan_of(connection, name, many)) for name, many in STATEMENTS.items()}
        await connection.execute("ANALYZE")
        anew = {name: scans_of_tables(await plan_of(connection, name, many)) for name, many in STATEMENTS.items()}
    finally:
        await connection.close()
    assert not any(kept.values()), kept
    assert not any(anew.values()), anew


async def test_a_plan_for_empty_tables_is_seen_by_this_test(inventory_dsn: str) -> None:
    connection = await asyncpg.connect(inventory_dsn, server_settings={"plan_cache_mode": "force_generic_plan"})
    try:
        found = []
        for name, many in STATEMENTS.items():
            await connection.execute(f"PREPARE many_{name} AS {many.sql}")
            found += scans_of_tables(await plan_of(connection, name, many))
    finally:
        await connection.close()
    assert found
