"""Network faults below kit.pg: each raises Unavailable in time, and the pool is whole afterwards."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import CONNECT_TIMEOUT_S, Db, open_db
from autogrocery.lab.fault_proxy import NO_FAULTS, FaultProxy, NetworkFaults, open_proxy
from tests.harness.waiting import until
from tests.proofs.fault_proxy.environment import CommitGate, dsn_through, open_gate, socket_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POOL_SIZE, BATCH_CONNECTIONS = 3, 2
ANSWER_GRACE_S = 0.2
ONE = "SELECT 1"
FAULTS = {
    "late": NetworkFaults(latency_s=0.05, jitter_s=0.05),
    "in slices": NetworkFaults(slice_bytes=3),
    "reset": NetworkFaults(reset_after_bytes=40),
    "reset at once": NetworkFaults(reset_after_bytes=0),
    "swallowed": NetworkFaults(swallow_replies=True),
    "blocked": NetworkFaults(black_hole=True),
    "half closed": NetworkFaults(half_close=True),
    "refused": NetworkFaults(refuse=True),
}


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[Db, FaultProxy, CommitGate]]:
    async with (
        open_gate(dsn, "smart_devices") as gate,
        open_proxy(socket_of(dsn), seed=1) as proxy,
        open_db(
            dsn_through(dsn, proxy),
            application="pool",
            max_size=POOL_SIZE,
            statement_timeout_ms=500,
            answer_grace_s=ANSWER_GRACE_S,
        ) as db,
    ):
        yield db, proxy, gate
        proxy.faults = NO_FAULTS


async def is_answered(db: Db) -> bool:
    try:
        return await db.row(ONE) is not None
    except Unavailable:
        return False


@pytest.mark.parametrize("fault", FAULTS)
async def test_any_network_fault_is_unavailable_at_worst_and_the_pool_recovers(gateway_dsn: str, fault: str) -> None:
    async with proxied(gateway_dsn) as (db, proxy, gate):
        await asyncio.gather(*(is_answered(db) for _ in range(POOL_SIZE)))
        proxy.faults = FAULTS[fault]
        went = await asyncio.gather(*(is_answered(db) for _ in range(3 * POOL_SIZE)))
        assert any(went) is (fault in {"late", "in slices", "refused", "half closed"})
        proxy.faults = NO_FAULTS
        await until(lambda: is_answered(db))
        assert all(await asyncio.gather(*(is_answered(db) for _ in range(POOL_SIZE))))
        await gate.wait_for_backends("pool", POOL_SIZE + BATCH_CONNECTIONS)


@pytest.mark.parametrize("silence", [NetworkFaults(swallow_replies=True), NetworkFaults(black_hole=True)])
async def test_a_silent_connection_is_discarded(gateway_dsn: str, silence: NetworkFaults) -> None:
    """A transaction is open on the connection, and its rollback gets no reply either."""

    async def transact(db: Db, proxy: FaultProxy) -> None:
        async with db.transaction() as inside:
            await inside.run("DELETE FROM smart_devices")
            proxy.faults = silence
            await inside.row(ONE)

    async with proxied(gateway_dsn) as (db, proxy, gate):
        with pytest.raises(Unavailable):
            await transact(db, proxy)
        proxy.faults = NO_FAULTS
        await until(lambda: is_answered(db))

        async def nothing_open() -> bool:
            return await gate.count("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == 0

        await until(nothing_open)
        assert await gate.backends("pool") <= POOL_SIZE + BATCH_CONNECTIONS


async def test_a_lost_commit_reply_raises_unavailable_and_the_row_is_there(gateway_dsn: str) -> None:
    insert = "INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)"

    async def register(db: Db) -> None:
        async with db.transaction() as inside:
            await inside.run(insert, "fridge", "$2b$10$" + "x" * 53)

    async with proxied(gateway_dsn) as (db, proxy, gate):

        async def there() -> bool:
            return await gate.count("SELECT count(*) FROM smart_devices") == 1

        async with gate.closed():
            registering = asyncio.ensure_future(register(db))
            await until(gate.has_waiter)
            assert not await there()
            proxy.faults = NetworkFaults(swallow_replies=True)
        await until(there)
        proxy.reset_all()
        with pytest.raises(Unavailable):
            await registering
        proxy.faults = NO_FAULTS
        await until(lambda: is_answered(db))
        assert await there()


@pytest.mark.parametrize(
    "faults", [NetworkFaults(refuse=True), NetworkFaults(reset_after_bytes=0), NetworkFaults(half_close=True)]
)
async def test_a_pool_without_a_server_raises_unavailable_in_time(gateway_dsn: str, faults: NetworkFaults) -> None:
    async with open_proxy(socket_of(gateway_dsn)) as proxy:
        proxy.faults = faults
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            async with open_db(dsn_through(gateway_dsn, proxy), application="pool"):
                pass
        assert time.monotonic() - begun < 2 * CONNECT_TIMEOUT_S
