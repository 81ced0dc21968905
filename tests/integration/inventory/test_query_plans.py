"""Query plans of the batch statements: they use indexes even if planned while the tables were empty."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import asyncpg

from autogrocery.inventory.store import dispatches, holds, picks, robots, webhooks
from autogrocery.kit.pg.batch import PLANNER
from autogrocery.kit.pg.outbox import Outbox
from tests.harness.inventory_tables import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.kit.pg.batch import BatchStatement

SETTLE = Outbox(None, webhooks.TABLE, webhooks.KEY, None, types=webhooks.KEY_TYPES).settle  # type: ignore[arg-type]
STATEMENTS = {
    "hold": holds.HOLD,
    "allocate": dispatches.ALLOCATE,
    "seen": robots.SEEN,
    "work": robots.WORK,
    "start": robots.START,
    "report": picks.CLOSE,
    "finished": webhooks.FINISHED,
    "freeze": webhooks.KEEP_BODY,
    "settle": SETTLE,
}
LEASES = {
    "leases_by_class",
    "leases_by_holder",
}  # partial indexes of the leases held now, and so small
TABLES = {"stock", "orders", "order_lines", "assignments", "robots", "webhook_outbox", "ledger"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def scans_of_tables(plan: dict[str, Any]) -> list[str]:
    """Return the plan's nodes that neither look rows up by an index nor write them."""
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


async def plan_of(connection: asyncpg.Connection[asyncpg.Record], name: str, many: BatchStatement) -> dict[str, Any]:
    nothing = ", ".join(["NULL"] * len(set(re.findall(r"\$(\d+)", many.sql))))
    (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE many_{name} ({nothing})")
    plan: dict[str, Any] = json.loads(row[0])[0]["Plan"]
    return plan


async def test_statements_use_indexes_planned_before_and_after_filling(inventory_dsn: str) -> None:
    connection = await asyncpg.connect(inventory_dsn, server_settings=PLANNER)
    try:
        for name, many in STATEMENTS.items():
            await connection.execute(f"PREPARE many_{name} AS {many.sql}")
            await plan_of(connection, name, many)  # planned here; the connection keeps the plan
        await fill(connection)
        kept = {name: scans_of_tables(await plan_of(connection, name, many)) for name, many in STATEMENTS.items()}
        await connection.execute("ANALYZE")
        anew = {name: scans_of_tables(await plan_of(connection, name, many)) for name, many in STATEMENTS.items()}
    finally:
        await connection.close()
    assert not any(kept.values()), kept
    assert not any(anew.values()), anew


async def test_sequential_scans_of_empty_tables_are_detected(inventory_dsn: str) -> None:
    connection = await asyncpg.connect(inventory_dsn, server_settings={"plan_cache_mode": "force_generic_plan"})
    try:
        found = []
        for name, many in STATEMENTS.items():
            await connection.execute(f"PREPARE many_{name} AS {many.sql}")
            found += scans_of_tables(await plan_of(connection, name, many))
    finally:
        await connection.close()
    assert found
