"""The database refuses what breaks a rule of restocks, whatever the code does."""

from __future__ import annotations

import itertools
import re
from contextlib import asynccontextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest

from autogrocery.gateway.core.restock import RESTOCK_EDGES, RESTOCK_TERMINAL, RestockFact, RestockStatus, steps_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, DbConnection
    from tests.harness.truck_actions import TruckActions

pytestmark = pytest.mark.asyncio(loop_scope="module")
ANNOUNCED, RECEIVING, RECEIVED, REJECTED = RestockStatus
PATHS = {(start, end) for (start, _), end in RESTOCK_EDGES.items()}
LOOKS = {
    ANNOUNCED: "intent = 'RESTOCK', intent_at = now(), due_at = now(), accepted_at = NULL, finished_at = NULL",
    RECEIVING: "intent = NULL, intent_at = NULL, due_at = now(), accepted_at = now(), finished_at = NULL",
    RECEIVED: "intent = NULL, intent_at = NULL, due_at = NULL, accepted_at = now(), finished_at = now()",
    REJECTED: "intent = NULL, intent_at = NULL, due_at = NULL, finished_at = now()",
}


class Undo(Exception):  # noqa: N818 - it is no error
    """Ends a transaction without a trace."""


@asynccontextmanager
async def undone(db: Db) -> AsyncIterator[DbConnection]:
    with suppress(Undo):
        async with db.transaction() as tx:
            yield tx
            raise Undo


async def put(truck: TruckActions, status: RestockStatus) -> UUID:
    """A restock in a status, reached as life reaches it."""
    fake_inventory, order_id = truck.gateway.fake_inventory, truck.id_of(truck.manifest())
    if status is ANNOUNCED:
        fake_inventory.abort_with = {"RestockItems": grpc.StatusCode.UNAVAILABLE}
    await truck.restock(truck.manifest())
    facts = {RECEIVED: RestockFact.SHELVED, REJECTED: RestockFact.REFUSED}
    if status in facts:
        await truck.update(order_id, facts[status], {"milk": (3, 1)})
    return order_id


@pytest.mark.parametrize(("start", "end"), list(itertools.permutations(RestockStatus, 2)))
async def test_status_follows_the_edge_table_only(
    truck: TruckActions, start: RestockStatus, end: RestockStatus
) -> None:
    order_id = await put(truck, start)
    change = f"UPDATE restock_orders SET status = $2, version = version + 1, {LOOKS[end]} WHERE order_id = $1"
    if (start, end) in PATHS:
        async with undone(truck.gateway.db) as tx:
            assert await tx.run(change, order_id, end.value) == 1
    else:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await truck.gateway.db.run(change, order_id, end.value)


async def test_edge_table_and_trigger_equal_edges(truck: TruckActions) -> None:
    rows = await truck.gateway.db.rows("SELECT from_status, to_status FROM restock_edges")
    assert {(row["from_status"], row["to_status"]) for row in rows} == PATHS
    sql = resources.files("autogrocery.gateway.store.migrations").joinpath("0003_restocks.sql").read_text("utf-8")
    trigger = sql[sql.index("CREATE TRIGGER restock_follows_the_edges") :].partition("OLD.version + 2")[0]
    assert set(re.findall(r"\('(\w+)', '(\w+)'\)", trigger)) == PATHS
    assert {RECEIVED, REJECTED} == RESTOCK_TERMINAL


async def test_every_fact_leads_along_the_edges_or_nowhere(truck: TruckActions) -> None:
    assert truck
    for status, fact in itertools.product(RestockStatus, RestockFact):
        steps = steps_of(status, fact)
        assert all((step.start, step.end) in PATHS for step in steps)
        assert [step.start for step in steps] == [status, *(step.end for step in steps)][: len(steps)]
        assert not steps or status not in RESTOCK_TERMINAL


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE restock_history SET cause = 'x'",
        "DELETE FROM restock_history",
        "TRUNCATE restock_history",
        "DELETE FROM restock_orders",
        "TRUNCATE restock_orders CASCADE",
        "DELETE FROM restock_lines",
        "UPDATE restock_orders SET version = 5",
        "UPDATE restock_orders SET manifest_no = 'x'",
        "UPDATE restock_orders SET supplier_id = 'x'",
        "UPDATE restock_orders SET item_count = 1",
        "UPDATE restock_orders SET intent = 'RESTOCK', intent_at = now()",
        "UPDATE restock_orders SET due_at = NULL",
        "UPDATE restock_lines SET quantity = quantity + 1",
        "UPDATE restock_lines SET received = received - 1",
        "UPDATE restock_lines SET damaged = damaged - 1",
        "UPDATE restock_lines SET unit_cost_cents = 1",
        "UPDATE smart_devices SET supplier_id = 'acme' WHERE kind = 'device'",
        """INSERT INTO restock_history (order_id, version, from_status, to_status, cause, epoch, sequence)
           SELECT order_id, 3, 'RECEIVED', 'REJECTED', 'x', 1, 1 FROM restock_orders""",
        """INSERT INTO restock_orders (order_id, user_id, supplier_id, supplier_name, manifest_no, request_sha256,
                                       line_count, item_count, due_at)
           SELECT gen_random_uuid(), user_id, supplier_id, 'other', manifest_no, '', 1, 1, now() FROM restock_orders""",
        """INSERT INTO restock_orders (order_id, user_id, supplier_id, supplier_name, request_sha256,
                                       line_count, item_count, due_at)
           SELECT gen_random_uuid(), user_id, supplier_id, 'nameless', '', 1, 1, now() FROM restock_orders""",
    ],
)
async def test_the_database_refuses(truck: TruckActions, sql: str) -> None:
    order_id = await put(truck, RECEIVING)
    await truck.update(order_id, RestockFact.ACCEPTED, {"milk": (3, 1), "bread": (1, 1)})
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await truck.gateway.db.run(sql)


async def test_an_ended_restock_changes_only_by_clearing_its_price_intent(truck: TruckActions) -> None:
    truck.gateway.fake_pricing.abort_with = grpc.StatusCode.UNAVAILABLE
    order_id = await put(truck, RECEIVED)
    settle = "UPDATE restock_orders SET intent = NULL, intent_at = NULL, due_at = NULL WHERE order_id = $1"
    async with undone(truck.gateway.db) as tx:
        assert await tx.run(settle, order_id) == 1
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await tx.run("UPDATE restock_orders SET attention = 'x' WHERE order_id = $1", order_id)
