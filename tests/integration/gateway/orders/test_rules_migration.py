"""Migrations 0006 to 0008 on a database with orders, while a gateway of the version before goes on writing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.gateway.core.order import OrderResult, Outcome, Status
from autogrocery.gateway.core.status_change import MetricNumber
from autogrocery.gateway.store import orders, transitions
from autogrocery.gateway.store.order_store import OrderStore
from autogrocery.gateway.store.writes import NewOrderRow, OrderChangeRow
from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.migrate import files, migrate
from tests.harness.gateway_actions import HASH

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

MIGRATIONS = "autogrocery.gateway.store.migrations"
BEFORE = 5  # the last migration of the version before
FULL = OrderResult(Status.COMPLETED, (), 0, Outcome.FULL)

# The columns and values that the version before wrote.
PREVIEW = """
WITH made AS (INSERT INTO grocery_orders (order_id, user_id) VALUES ($1, 1) RETURNING order_id)
INSERT INTO order_history (order_id, version, to_status, cause, epoch, sequence)
SELECT order_id, 1, 'PREVIEWED', 'previewed', 1, $2 FROM made
"""
DISPATCH = """
WITH moved AS (
  UPDATE grocery_orders SET status = 'PROCESSING', version = version + 1, confirmed_at = now(), dispatched_at = now(),
                            due_at = now() + interval '1 minute'
   WHERE order_id = $1 RETURNING order_id, version)
INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
SELECT order_id, version, 'PREVIEWED', 'PROCESSING', 'dispatched', 1, $2 FROM moved
"""


async def version_before(dsn: str) -> None:
    """Create the tables as the version before knew them, with one device."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "CREATE TABLE schema_migrations (number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    for migration in files(MIGRATIONS)[:BEFORE]:
        async with connection.transaction():
            await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations VALUES ($1, $2, $3)", migration.number, migration.name, migration.sha256
        )
    await connection.execute("INSERT INTO smart_devices (device_id, password) VALUES ('fridge', $1)", HASH)
    await connection.close()


async def write_until(stop: asyncio.Event, dsn: str, first: int) -> list[UUID]:
    """Preview and dispatch orders one after the other, as the version before; returns those that are PROCESSING."""
    connection = await asyncpg.connect(dsn, server_settings={"lock_timeout": "500ms", "statement_timeout": "1000ms"})
    written = []
    sequence = first
    while not stop.is_set() or not written:
        order_id, sequence = uuid7(), sequence + 2
        await connection.execute(PREVIEW, order_id, sequence)
        await connection.execute(DISPATCH, order_id, sequence + 1)
        written.append(order_id)
    await connection.close()
    return written


@pytest.fixture
def dsn(dsn_of: Callable[[str], str]) -> str:
    """Return the DSN of a database without the gateway's tables."""
    return dsn_of("inventory")


async def test_orders_of_the_version_before_go_on_while_it_writes_and_the_constraint_is_valid(dsn: str) -> None:
    await version_before(dsn)
    stop = asyncio.Event()
    stop.set()
    before = await write_until(stop, dsn, 0)
    stop.clear()
    writing = [asyncio.create_task(write_until(stop, dsn, 1_000_000 * number)) for number in (1, 2)]
    applied = await migrate(dsn, MIGRATIONS, "public")
    stop.set()
    written = [*before, *(order_id for found in await asyncio.gather(*writing) for order_id in found)]
    assert applied == [migration.name for migration in files(MIGRATIONS)[BEFORE:]]
    async with open_db(dsn, application="tests") as db:
        for number, order_id in enumerate(written):
            assert await finished(db, order_id, 10_000_000 + number)
            order = await orders.get(db, order_id)
            assert order is not None
            assert (order.status, order.version) == (Status.COMPLETED, 3)
        row = await db.row(
            "SELECT array_agg(conname::text) AS names, bool_and(convalidated) AS valid FROM pg_constraint"
            " WHERE conrelid = 'order_history'::regclass AND contype IN ('c', 'f')"
        )
    assert row is not None
    assert row["valid"]
    assert sorted(row["names"]) == ["history_follows_the_edges", "order_history_order_id_fkey"]


async def finished(db: Db, order_id: UUID, sequence: int) -> bool:
    changes = await transitions.finish(
        OrderStore(db),
        order_id,
        FULL,
        robots=None,
        even_if_idle=False,
        delivery=None,
        number=MetricNumber(1, sequence),
    )
    return [change.to_status for change in changes] == [Status.COMPLETED]


async def test_rows_have_the_fields_of_their_types_in_their_order(gateway_db: Db) -> None:
    for name, row in (("new_order", NewOrderRow), ("order_change", OrderChangeRow)):
        found = await gateway_db.rows(
            "SELECT attname::text AS field FROM pg_attribute WHERE attrelid = $1::text::regclass ORDER BY attnum", name
        )
        assert tuple(field["field"] for field in found) == row._fields
