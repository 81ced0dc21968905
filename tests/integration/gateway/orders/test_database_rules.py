"""The database has the last word: what the code must not do, it can't."""

from __future__ import annotations

import asyncio
import itertools
import re
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.gateway.core.order import EDGES, TERMINAL, Status
from autogrocery.gateway.store import devices
from autogrocery.kit.pg.migrate import MigrationError, migrate, status
from tests.integration.gateway.orders.conftest import HASH

if TYPE_CHECKING:
    from tests.integration.gateway.orders.conftest import House

MIGRATIONS = "autogrocery.gateway.store.migrations"
PATHS = {(start.value, end.value) for (start, _), end in EDGES.items()}
LOOKS = {
    Status.PREVIEWED: "",
    Status.PROCESSING: ", dispatched_at = now()",
    Status.COMPLETED: ", dispatched_at = now(), finished_at = now(), due_at = NULL, outcome = 'FULL'",
    Status.CANCELLED: ", finished_at = now(), due_at = NULL",
    Status.EXPIRED: ", finished_at = now(), due_at = NULL, dispatched_at = NULL",
    Status.FAILED: ", finished_at = now(), due_at = NULL, total_cents = 0",
}


async def put(house: House, status: Status) -> str:
    """An order in a status, reached along the edges."""
    order = await house.preview()
    route = {Status.PREVIEWED: [], Status.COMPLETED: [Status.PROCESSING, Status.COMPLETED]}.get(status, [status])
    for step in route:
        await house.db.run(
            f"UPDATE grocery_orders SET status = '{step}', version = version + 1{LOOKS[step]} WHERE order_id = $1",
            order.order_id,
        )
    return str(order.order_id)


@pytest.mark.parametrize(("start", "end"), list(itertools.permutations(Status, 2)))
async def test_status_follows_the_edge_table_only(house: House, start: Status, end: Status) -> None:
    order_id = await put(house, start)
    change = (
        f"UPDATE grocery_orders SET status = '{end}', version = version + 1{LOOKS[end]} WHERE order_id = '{order_id}'"
    )
    async with unaudited(house):
        if (start.value, end.value) in PATHS:
            assert await house.db.run(change) == 1
        else:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await house.db.run(change)


class unaudited:  # noqa: N801 - reads as a sentence
    """What SQL by hand leaves behind breaks invariants on purpose: it is taken away again."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def __aenter__(self) -> None:
        return

    async def __aexit__(self, *_error: object) -> None:
        async with self.house.db.connection() as connection:
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


async def test_edges_in_code_table_and_trigger_are_the_same(house: House) -> None:
    rows = await house.db.rows("SELECT from_status, to_status FROM order_edges")
    assert {(row["from_status"], row["to_status"]) for row in rows} == PATHS
    sql = resources.files(MIGRATIONS).joinpath("0002_orders.sql").read_text(encoding="utf-8")
    trigger = sql[sql.index("CREATE TRIGGER status_follows_the_edges") : sql.index("CREATE TRIGGER identity")]
    one_step, _, _ = trigger.partition("OLD.version + 2")
    assert set(re.findall(r"\('(\w+)', '(\w+)'\)", one_step)) == PATHS
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
        "UPDATE grocery_orders SET intent = 'DISPATCH', intent_at = now(), status = 'PROCESSING', version = 2, dispatched_at = now()",
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
async def test_the_database_refuses(house: House, sql: str) -> None:
    await house.preview()
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await house.db.run(sql)


async def test_a_row_with_the_seeds_columns_only_is_a_device(house: House) -> None:
    await house.db.run(
        "INSERT INTO smart_devices (device_id, password, email, phone) VALUES ('seed', $1, 'a@b.example', '+15551234567')",
        HASH,
    )
    account = await devices.get(house.db, "seed")
    assert account is not None
    assert account.scopes == ("orders:read", "orders:write", "catalog:read")


async def test_migrations_run_twice_at_once_and_refuse_drift(gateway_dsn: str) -> None:
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
