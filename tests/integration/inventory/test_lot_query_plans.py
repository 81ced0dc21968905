"""Query plans of the statements about lots: only a recall reads a whole table, the order lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.inventory.store import holds, lots, picks, recalls, shelf
from autogrocery.kit.pg.batch import BatchStatement
from tests.harness.inventory_tables import fill
from tests.integration.inventory.test_query_plans import nodes, plan_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STATEMENTS = {
    "available": holds.AVAILABLE,
    "list_due": lots.DUE,
    "lock": lots.LOCK,
    "write_off": lots.WRITE_OFF,
    "lock_for_report": picks.LOCK,
    "line_stock": picks.LINE_STOCK,
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


async def test_no_statement_reads_a_whole_table(stocked: asyncpg.Connection[asyncpg.Record]) -> None:
    found = {}
    for name, sql in STATEMENTS.items():
        await stocked.execute(f"PREPARE many_{name} AS {sql}")
        plan = await plan_of(stocked, name, BatchStatement(sql, (1,)))
        read = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
        if unwanted := read & FILLED - ONCE.get(name, set()):
            found[name] = unwanted
    assert not found
