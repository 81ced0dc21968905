"""Proxies before each port of a gateway that runs in this process, and a gate at which its commits wait for the test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
from msgspec import Struct

from autogrocery.lab.fault_proxy import CALM, FaultProxy, Weather, open_proxy
from tests.harness.running_gateway import Shop, open_shop, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.harness.running_gateway import Reply

POOL_SIZE = 8
LANES = 2  # beside them
STORM_S = 0.3
PERSISTENCE_S = 30.0
GATE = 7  # an advisory lock: the test holds it, each commit that changes an order asks for it
BUILD_GATE = f"""
CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON {{table}} DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wait_at_the_gate();
"""
WAITING = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"


async def persist(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """Ask as a device does, the same call again after a 503 or 202, until it is answered."""
    async with asyncio.timeout(PERSISTENCE_S):
        while (reply := await ask()).status in {503, 202}:  # noqa: ASYNC110 - as devices do
            await asyncio.sleep(0.1)
    return reply


class Gate:
    """Holds commits up inside the server, so that a test may change the weather between a commit and its answer."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        await self._connection.execute(f"SELECT pg_advisory_lock({GATE})")
        try:
            yield
        finally:
            await self._connection.execute(f"SELECT pg_advisory_unlock({GATE})")

    async def somebody_waits(self) -> bool:
        return bool(await self.count(WAITING))

    async def count(self, sql: str, *args: object) -> int:
        """Return the first figure that a query finds."""
        found: int = await self._connection.fetchval(sql, *args)
        return found

    async def backends(self, application: str) -> int:
        return await self.count(BACKENDS, application)


@asynccontextmanager
async def open_gate(dsn: str, table: str = "order_history") -> AsyncIterator[Gate]:
    """Build the gate before `table` in the database of `dsn`, on a connection that no weather reaches."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(BUILD_GATE.format(table=table))
        yield Gate(connection)
    finally:
        await connection.close()


class Stage(Struct):
    """A gateway with a proxy before its database (`sea`), its public (`street`) and its internal door (`yard`)."""

    shop: Shop
    gate: Gate
    sea: FaultProxy
    street: FaultProxy
    yard: FaultProxy

    def calm(self) -> None:
        for proxy in (self.sea, self.street, self.yard):
            proxy.weather = CALM

    @asynccontextmanager
    async def storm(self, weather: Weather, lasting_s: float = STORM_S) -> AsyncIterator[None]:
        """Set the weather before the database, for so long or until the context ends."""
        self.sea.weather = weather
        clearing = asyncio.get_running_loop().call_later(lasting_s, self.calm)
        try:
            yield
        finally:
            clearing.cancel()
            self.calm()

    async def lose_commit(self, call: Awaitable[Reply], happened: Callable[[], Awaitable[bool]]) -> Reply:
        """Make a call, let its commit through, and lose the database's answer to it, connection and all."""
        async with self.gate.closed():
            asking = asyncio.ensure_future(call)
            await until(self.gate.somebody_waits)
            self.sea.weather = Weather(swallow_replies=True)
        await until(happened)
        self.sea.reset_all()
        self.sea.weather = CALM
        return await asking

    async def pool_is_whole(self) -> None:
        """Wait until the server holds no more connections of the gateway's than its pool may have."""

        async def whole() -> bool:
            return await self.gate.backends("gateway") <= POOL_SIZE + LANES

        await until(whole)


def socket_of(dsn: str) -> str:
    """Return the unix socket of an embedded server's DSN."""
    query = dict(part.split("=") for part in urlsplit(dsn).query.split("&"))
    return f"{query['host'].replace('%2F', '/')}/.s.PGSQL.{query['port']}"


def through(dsn: str, proxy: FaultProxy) -> str:
    """Return a DSN that leads through the proxy."""
    parts = urlsplit(dsn)
    return f"postgresql://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}{parts.path}"


@asynccontextmanager
async def open_stage(dsn: str, **settings: str) -> AsyncIterator[Stage]:
    async with (
        open_gate(dsn) as gate,
        open_proxy(socket_of(dsn)) as sea,
        open_proxy() as street,
        open_proxy() as yard,
        open_shop(dsn, DATABASE_URL=through(dsn, sea), DATABASE_POOL_SIZE=str(POOL_SIZE), **settings) as shop,
    ):
        for proxy, door in ((street, shop.public), (yard, shop.internal)):
            proxy.upstreams = [("127.0.0.1", urlsplit(door).port or 0)]
        shop.public, shop.internal = f"http://127.0.0.1:{street.port}", f"http://127.0.0.1:{yard.port}"
        stage = Stage(shop, gate, sea, street, yard)
        yield stage
        stage.calm()
