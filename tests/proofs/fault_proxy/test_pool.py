"""kit.pg behind bad weather: whatever the network does is `Unavailable`, in time, and the pool is whole afterwards."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import CONNECT_TIMEOUT_S, Db, open_db
from autogrocery.lab.fault_proxy import CALM, FaultProxy, Weather, open_proxy
from tests.harness.running_gateway import until
from tests.proofs.fault_proxy.stage import Gate, open_gate, socket_of, through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POOL_SIZE, LANES = 3, 2
SILENCE_S = 0.2
ONE = "SELECT 1"
WEATHERS = {
    "late": Weather(latency_s=0.05, jitter_s=0.05),
    "in slices": Weather(slice_bytes=3),
    "reset": Weather(reset_after_bytes=40),
    "reset at once": Weather(reset_after_bytes=0),
    "swallowed": Weather(swallow_replies=True),
    "a black hole": Weather(black_hole=True),
    "half closed": Weather(half_close=True),
    "refused": Weather(refuse=True),
}


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[Db, FaultProxy, Gate]]:
    async with (
        open_gate(dsn, "smart_devices") as gate,
        open_proxy(socket_of(dsn), seed=1) as proxy,
        open_db(
            through(dsn, proxy), application="pool", max_size=POOL_SIZE, statement_timeout_ms=500, silence_s=SILENCE_S
        ) as db,
    ):
        yield db, proxy, gate
        proxy.weather = CALM


async def answers(db: Db) -> bool:
    try:
        return await db.row(ONE) is not None
    except Unavailable:
        return False


@pytest.mark.parametrize("weather", WEATHERS)
async def test_any_weather_is_unavailable_at_worst_and_passes(gateway_dsn: str, weather: str) -> None:
    async with proxied(gateway_dsn) as (db, proxy, gate):
        await asyncio.gather(*(answers(db) for _ in range(POOL_SIZE)))
        proxy.weather = WEATHERS[weather]
        went = await asyncio.gather(*(answers(db) for _ in range(3 * POOL_SIZE)))
        assert any(went) is (weather in {"late", "in slices", "refused", "half closed"})
        proxy.weather = CALM
        await until(lambda: answers(db))
        assert all(await asyncio.gather(*(answers(db) for _ in range(POOL_SIZE))))

        async def whole() -> bool:
            return await gate.backends("pool") <= POOL_SIZE + LANES

        await until(whole)


@pytest.mark.parametrize("silence", [Weather(swallow_replies=True), Weather(black_hole=True)])
async def test_a_connection_that_says_nothing_is_given_up(gateway_dsn: str, silence: Weather) -> None:
    """Also one in the middle of a transaction, whose rollback gets no answer either."""

    async def transact(db: Db, proxy: FaultProxy) -> None:
        async with db.transaction() as inside:
            await inside.run("DELETE FROM smart_devices")
            proxy.weather = silence
            await inside.row(ONE)

    async with proxied(gateway_dsn) as (db, proxy, gate):
        with pytest.raises(Unavailable):
            await transact(db, proxy)
        proxy.weather = CALM
        await until(lambda: answers(db))

        async def nothing_open() -> bool:
            return await gate.count("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == 0

        await until(nothing_open)
        assert await gate.backends("pool") <= POOL_SIZE + LANES


async def test_a_transaction_whose_commit_is_not_answered_is_unknown_and_there(gateway_dsn: str) -> None:
    insert = "INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)"

    async def register(db: Db) -> None:
        async with db.transaction() as inside:
            await inside.run(insert, "fridge", "$2b$10$" + "x" * 53)

    async with proxied(gateway_dsn) as (db, proxy, gate):

        async def there() -> bool:
            return await gate.count("SELECT count(*) FROM smart_devices") == 1

        async with gate.closed():
            registering = asyncio.ensure_future(register(db))
            await until(gate.somebody_waits)
            assert not await there()
            proxy.weather = Weather(swallow_replies=True)
        await until(there)
        proxy.reset_all()
        with pytest.raises(Unavailable):
            await registering
        proxy.weather = CALM
        await until(lambda: answers(db))
        assert await there()


@pytest.mark.parametrize("weather", [Weather(refuse=True), Weather(reset_after_bytes=0), Weather(half_close=True)])
async def test_a_pool_that_finds_nobody_says_so_in_time(gateway_dsn: str, weather: Weather) -> None:
    async with open_proxy(socket_of(gateway_dsn)) as proxy:
        proxy.weather = weather
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            async with open_db(through(gateway_dsn, proxy), application="pool"):
                pass
        assert time.monotonic() - begun < 2 * CONNECT_TIMEOUT_S
