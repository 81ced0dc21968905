"""The gateway behind PgBouncer in transaction mode, with its batched statements on a direct connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import open_db
from tests.harness.homes import temporary_home
from tests.harness.pgbouncer import pooler
from tests.harness.running_gateway import serve_gateway, webhook_body
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.harness.pgbouncer import Pooler
    from tests.harness.running_gateway import Device

DEVICES = 12
LIMITS = {"statement_timeout": "1s", "lock_timeout": "500ms", "idle_in_transaction_session_timeout": "5s"}


def limit(dsn: str, limits: dict[str, str]) -> None:
    asyncio.run(_limit(dsn, limits))


async def _limit(dsn: str, limits: dict[str, str]) -> None:
    connection = await asyncpg.connect(dsn)
    name = await connection.fetchval("SELECT quote_ident(current_database())")
    for setting, value in limits.items():
        await connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    await connection.close()


@pytest.fixture
def dsn(dsn_of: Callable[[str], str]) -> str:
    found = dsn_of("public")
    limit(found, LIMITS)
    return found


@pytest.fixture
async def running(dsn: str) -> AsyncIterator[Pooler]:
    with temporary_home() as directory:
        async with pooler(dsn, directory) as one:
            yield one


async def order(device: Device) -> str:
    order_id = await device.processing()
    assert (await device.gateway.send_webhook(webhook_body(order_id))).status == 200
    assert (await device.get("/api/client/orders")).json["data"][0]["order_id"] == order_id
    return order_id


async def test_devices_order_and_read_at_once_through_a_pooler_of_three_sessions(dsn: str, running: Pooler) -> None:
    async with serve_gateway(running.dsn, DATABASE_DIRECT_URL=dsn) as gateway:
        devices = [await gateway.device() for _ in range(DEVICES)]
        for _ in range(3):
            orders = await asyncio.gather(*map(order, devices))
            for device, one in zip(devices, orders, strict=True):
                await device.wait_for_status(one, "COMPLETED")
        for device in devices:
            assert (await device.cancel(await device.previewed())).status == 200


async def test_a_pooler_that_dies_costs_503_until_it_is_back(dsn: str, running: Pooler) -> None:
    async with serve_gateway(running.dsn, DATABASE_DIRECT_URL=dsn) as gateway:
        device = await gateway.device()
        before = await order(device)
        await running.kill()
        lists = await device.get("/api/client/orders")
        assert (lists.status, lists.code) == (503, "database_unavailable")
        previewed = await device.previewed()  # batched: the direct connection
        await running.start()

        async def is_back() -> bool:
            return (await device.get("/api/client/orders")).status == 200

        await until(is_back, every_s=0.2)
        found = {one["order_id"] for one in (await device.get("/api/client/orders")).json["data"]}
        assert found == {before, previewed}


@pytest.fixture
def half_limited_dsn(dsn_of: Callable[[str], str]) -> str:
    found = dsn_of("public")
    limit(found, {"lock_timeout": "500ms"})
    return found


async def test_sessions_without_time_limits_are_refused_in_one_line(half_limited_dsn: str) -> None:
    with temporary_home() as directory:
        async with pooler(half_limited_dsn, directory) as running:
            with pytest.raises(Unavailable) as refused:
                async with open_db(running.dsn, application="tests", direct_dsn=half_limited_dsn):
                    pass
    assert refused.value.detail.startswith(
        "the pooler's sessions have no statement_timeout and no idle_in_transaction_session_timeout,"
        " which a client can't set through it: ALTER ROLE "
    )
    assert "\n" not in refused.value.detail


async def test_a_pooler_without_a_direct_address_is_told_what_to_set(running: Pooler) -> None:
    with pytest.raises(Unavailable) as refused:
        async with open_db(running.dsn, application="tests"):
            pass
    assert "give the server's own address as DATABASE_DIRECT_URL" in refused.value.detail
