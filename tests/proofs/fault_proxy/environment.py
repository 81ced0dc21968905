"""A running gateway with a fault proxy before each of its ports, and a gate at which its commits wait for the test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
from msgspec import Struct

from autogrocery.lab.fault_proxy import NO_FAULTS, FaultProxy, NetworkFaults, open_proxy
from tests.harness.running_gateway import RunningGateway, serve_gateway
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.harness.running_gateway import Reply

POOL_SIZE = 8
BATCH_CONNECTIONS = 2  # in addition to POOL_SIZE
FAULT_S = 0.3
RETRY_S = 30.0
GATE_LOCK = 7  # key of an advisory lock: the test holds it, and each commit that changes an order waits for it
CREATE_GATE = f"""
CREATE FUNCTION wait_for_gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE_LOCK}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON {{table}} DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wait_for_gate();
"""
WAITING = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE_LOCK} AND NOT granted"
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"


async def retry(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeat a call while its status is 503 or 202, as a device does."""
    async with asyncio.timeout(RETRY_S):
        while (reply := await ask()).status in {503, 202}:  # noqa: ASYNC110 - the back-off of a device
            await asyncio.sleep(0.1)
    return reply


class CommitGate:
    """Delays commits inside the server, so that a test may set faults between a commit and its reply."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        await self._connection.execute(f"SELECT pg_advisory_lock({GATE_LOCK})")
        try:
            yield
        finally:
            await self._connection.execute(f"SELECT pg_advisory_unlock({GATE_LOCK})")

    async def has_waiter(self) -> bool:
        return bool(await self.count(WAITING))

    async def count(self, sql: str, *args: object) -> int:
        """Return the first value of a query."""
        found: int = await self._connection.fetchval(sql, *args)
        return found

    async def backends(self, application: str) -> int:
        """Return how many server connections an application has."""
        return await self.count(BACKENDS, application)

    async def wait_for_backends(self, application: str, most: int) -> None:
        """Wait until an application has at most so many server connections."""

        async def is_at_most() -> bool:
            return await self.backends(application) <= most

        await until(is_at_most)


@asynccontextmanager
async def open_gate(dsn: str, table: str = "order_history") -> AsyncIterator[CommitGate]:
    """Create the gate for commits that insert into `table`; its connection bypasses the proxy."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(CREATE_GATE.format(table=table))
        yield CommitGate(connection)
    finally:
        await connection.close()


class ProxiedGateway(Struct):
    """A running gateway with fault proxies before its database and its two listeners."""

    gateway: RunningGateway
    gate: CommitGate
    database_proxy: FaultProxy
    public_proxy: FaultProxy
    internal_proxy: FaultProxy

    def clear_faults(self) -> None:
        for proxy in (self.database_proxy, self.public_proxy, self.internal_proxy):
            proxy.faults = NO_FAULTS

    @asynccontextmanager
    async def database_faults(self, faults: NetworkFaults, lasting_s: float = FAULT_S) -> AsyncIterator[None]:
        """Set faults before the database for `lasting_s`, or until the context ends."""
        self.database_proxy.faults = faults
        clearing = asyncio.get_running_loop().call_later(lasting_s, self.clear_faults)
        try:
            yield
        finally:
            clearing.cancel()
            self.clear_faults()

    async def lose_commit(self, call: Awaitable[Reply], happened: Callable[[], Awaitable[bool]]) -> Reply:
        """Make a call, let it commit, drop the database's reply and reset the connection; returns the gateway's
        response."""
        async with self.gate.closed():
            asking = asyncio.ensure_future(call)
            await until(self.gate.has_waiter)
            self.database_proxy.faults = NetworkFaults(swallow_replies=True)
        await until(happened)
        self.database_proxy.reset_all()
        self.database_proxy.faults = NO_FAULTS
        return await asking

    async def wait_for_whole_pool(self) -> None:
        """Wait until the gateway has no more server connections than its pool may open."""

        await self.gate.wait_for_backends("gateway", POOL_SIZE + BATCH_CONNECTIONS)


def socket_of(dsn: str) -> str:
    """Return the unix socket of an embedded server's DSN."""
    query = dict(part.split("=") for part in urlsplit(dsn).query.split("&"))
    return f"{query['host'].replace('%2F', '/')}/.s.PGSQL.{query['port']}"


def dsn_through(dsn: str, proxy: FaultProxy) -> str:
    """Return a DSN that leads through the proxy."""
    parts = urlsplit(dsn)
    return f"postgresql://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}{parts.path}"


@asynccontextmanager
async def open_proxied_gateway(dsn: str, **settings: str) -> AsyncIterator[ProxiedGateway]:
    async with (
        open_gate(dsn) as gate,
        open_proxy(socket_of(dsn)) as database_proxy,
        open_proxy() as public_proxy,
        open_proxy() as internal_proxy,
        serve_gateway(
            dsn, DATABASE_URL=dsn_through(dsn, database_proxy), DATABASE_POOL_SIZE=str(POOL_SIZE), **settings
        ) as gateway,
    ):
        for proxy, url in ((public_proxy, gateway.public), (internal_proxy, gateway.internal)):
            proxy.upstreams = [("127.0.0.1", urlsplit(url).port or 0)]
        gateway.public, gateway.internal = (
            f"http://127.0.0.1:{public_proxy.port}",
            f"http://127.0.0.1:{internal_proxy.port}",
        )
        proxied = ProxiedGateway(gateway, gate, database_proxy, public_proxy, internal_proxy)
        yield proxied
        proxied.clear_faults()
