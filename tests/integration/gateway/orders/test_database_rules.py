"""The database refuses what breaks a rule of orders, whatever the code does."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.gateway.core.order import EDGES, TERMINAL, Status
from autogrocery.gateway.store import devices
from autogrocery.kit.pg.migrate import MigrationError, migrate, status
from tests.integration.gateway.orders.conftest import HASH

if TYPE_CHECKING:
    from tests.integration.gateway.orders.conftest import GatewayActions

MIGRATIONS = "autogrocery.gateway.store.migrations"
PATHS = {(start.value, end.value) for (start, _), end in EDGES.items()}
COLUMNS = {
    Status.PREVIEWED: "",
    Status.PROCESSING: ", dispatched_at = now()",
    Status.COMPLETED: ", dispatched_at = now(), finished_at = now(), due_at = NULL, outcome = 'FULL'",
    Status.CANCELLED: ", finished_at = now(), due_at = NULL",
    Status.EXPIRED: ", finished_at = now(), due_at = NULL, dispatched_at = NULL",
    Status.FAILED: ", finished_at = now(), due_at = NULL, total_cents = 0",
}


async def put(gateway: GatewayActions, status: Status) -> str:
    """Bring a new order into a status along the edges."""
    order = await gateway.preview()
    route = {Status.PREVIEWED: [], Status.COMPLETED: [Status.PROCESSING, Status.COMPLETED]}.get(status, [status])
    for step in route:
        await gateway.db.run(
            f"UPDATE grocery_orders SET status = '{step}', version = version + 1{COLUMNS[step]} WHERE order_id = $1",
            order.order_id,
        )
    return str(order.order_id)


@pytest.mark.parametrize(("start", "end"), list(itertools.permutations(Status, 2)))
async def test_status_follows_the_edge_table_only(gateway: GatewayActions, start: Status, end: Status) -> None:
    order_id = await put(gateway, start)
    change = (
        f"UPDATE grocery_orders SET status = '{end}', version = version + 1{COLUMNS[end]} WHERE order_id = '{order_id}'"
    )
    async with unaudited(gateway):
        if (start.value, end.value) in PATHS:
            assert await gateway.db.run(change) == 1
        else:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await gateway.db.run(change)


class unaudited:  # noqa: N801 - reads as a sentence
    """Delete every order at the end of the block: SQL by hand breaks invariants of the audit on purpose."""

    def __init__(self, gateway: GatewayActions) -> None:
        self.gateway = gateway

    async def __aenter__(self) -> None:
        return

    async def __aexit__(self, *_error: object) -> None:
        async with self.gateway.db.connection() as connection:
            await connection.rows("SET session_replication_role = replica")
            for table in (
                "webhook_inbox",
                "receipt_outbox",
                "short_picks",
                "order_history",
                "order_lines",
                "grocery_orders",
            ):
                await connection.run(f"DELETE FROM {table}")
            await connection.rows("RESET session_replication_role")


async def test_edge_table_equals_edges(gateway: GatewayActions) -> None:
    rows = await gateway.db.rows("SELECT from_status, to_status FROM order_edges")
    assert {(row["from_status"], row["to_status"]) for row in rows} == PATHS
    assert {status.value for status in TERMINAL} == {"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE order_history SET cause = 'x'",
        "DELETE FROM order_history",
        "TRUNCATE order_history",
        "DELETE FROM grocery_orders",
        "TRUNCATE grocery_orders CASCADE",
        "UPDATE order_lines SET quantity = 1",
        "UPDATE grocery_orders SET quoted_total_cents = 1",
        "UPDATE grocery_orders SET version = 5",
        "UPDATE grocery_orders SET total_cents = -1",
        """UPDATE grocery_orders SET intent = 'DISPATCH', intent_at = now(), status = 'PROCESSING', version = 2,
                                           dispatched_at = now()""",
        "UPDATE grocery_orders SET intent = 'RELEASE', intent_at = now(), release_as = 'PROCESSING'",
        """INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
           SELECT order_id, 2, 'PREVIEWED', 'COMPLETED', 'x', 1, 1 FROM grocery_orders""",
        "INSERT INTO grocery_orders (order_id, user_id, status) VALUES (gen_random_uuid(), 1, 'COMPLETED')",
        "INSERT INTO grocery_orders (order_id, user_id) VALUES (gen_random_uuid(), 999)",
        "INSERT INTO smart_devices (device_id, password) VALUES ('fridge-1', '$2b$10$x')",
        "INSERT INTO smart_devices (device_id, password) VALUES ('plain', 'hunter2hunter2')",
        "INSERT INTO smart_devices (device_id, password, kind) VALUES ('r', '$2b$10$x', 'robot')",
    ],
)
async def test_the_database_refuses(gateway: GatewayActions, sql: str) -> None:
    await gateway.preview()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await gateway.db.run(sql)


async def test_a_row_with_only_the_seeds_columns_is_a_device(gateway: GatewayActions) -> None:
    await gateway.db.run(
        "INSERT INTO smart_devices (device_id, password, email, phone)"
        " VALUES ('seed', $1, 'a@b.example', '+15551234567')",
        HASH,
    )
    account = await devices.get(gateway.db, "seed")
    assert account is not None
    assert account.scopes == ("orders:read", "orders:write", "catalog:read")


async def test_migrations_run_concurrently_and_refuse_a_changed_file(gateway_dsn: str) -> None:
    assert await asyncio.gather(*(migrate(gateway_dsn, MIGRATIONS, "public") for _ in range(3))) == [[], [], []]
    assert all(one.applied for one in await status(gateway_dsn, MIGRATIONS, "public"))
    connection = await asyncpg.connect(gateway_dsn)
    await connection.execute("UPDATE schema_migrations SET sha256 = 'x' WHERE number = 1")
    with pytest.raises(MigrationError, match=r"0001_accounts\.sql was changed"):
        await migrate(gateway_dsn, MIGRATIONS, "public")
    await connection.execute("UPDATE schema_migrations SET number = 99 WHERE number = 1")
    with pytest.raises(MigrationError, match="0099"):
        await status(gateway_dsn, MIGRATIONS, "public")
    await connection.close()
