"""The plans of the statements about lots: none reads a table from end to end, but a recall, and that only the lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.inventory.store import holds, lots, picks, recalls, shelf
from autogrocery.kit.pg.batch import Many
from tests.harness.inventory_stocked import fill
from tests.integration.inventory.test_plans_of_statements import nodes, plan_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STATEMENTS = {
    "available": holds.AVAILABLE,
    "due": lots.DUE,
    "lock": lots.LOCK,
    "settle": lots.SETTLE,
    "lock_for_report": picks.LOCK,
    "shelf": picks.SHELF,
    "shelve": shelf.SHELVE,
    "get": recalls.GET,
    "mark": recalls.MARK,
    "recipients": recalls.RECIPIENTS,
}
FILLED = {"stock", "lots", "lot_draws", "orders", "order_lines", "assignments"}
ONCE = {"recipients": {"order_lines"}}


@pytest.fixture
async def stocked(inventory_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(inventory_dsn, server_settings={"plan_cache_mode": "force_generic_plan"})
    await fill(connection)
    await connection.execute("UPDATE inventory.stock SET sellable_until = now() + interval '1 day'")
    await connection.execute("VACUUM ANALYZE")
    yield connection
    await connection.close()


async def test_no_table_is_read_from_end_to_end(stocked: asyncpg.Connection[asyncpg.Record]) -> None:
    found = {}
    for name, sql in STATEMENTS.items():
        await stocked.execute(f"PREPARE many_{name} AS {sql}")
        plan = await plan_of(stocked, name, Many(sql, (1,)))
        read = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
        if unwanted := read & FILLED - ONCE.get(name, set()):
            found[name] = unwanted
    assert not found
