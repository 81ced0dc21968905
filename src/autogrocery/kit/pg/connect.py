"""Reaching PostgreSQL: the servers of a DSN, a pool of connections to the one that answers, and what counts as trouble."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTION_S = 300.0

# What may be gone tomorrow: lost or refused connections, a server that starts or stops, timeouts, lost races.
PASSING = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.InternalClientError,
)


class Servers:
    """The servers that a DSN names, tried one at a time: first the one that answered last.

    The driver waits for its first host as long as it waits at all, so a primary that falls silent would hide its successor.
    """

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        user, at, hosts = parts.netloc.rpartition("@")
        self._dsns = deque(urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(","))

    async def connect(self, *_dsn: Any, **named: Any) -> Any:
        """Connect to the first that suits; each has its share of the timeout. Raises what the last one said."""
        named["timeout"] /= len(self._dsns)
        for left in reversed(range(len(self._dsns))):
            dsn = self._dsns[0]
            self._dsns.rotate(-1)  # however this ends, by a caller's impatience too, the next attempt begins elsewhere
            try:
                connection = await asyncpg.connect(dsn, **named)
            except PASSING:
                if not left:
                    raise
                continue
            self._dsns.remove(dsn)
            self._dsns.appendleft(dsn)
            return connection
        raise AssertionError("a DSN names a server")


async def _keep_session(_connection: Any) -> None:
    """Skip the driver's reset, a round trip each time: we set nothing in a session, and `transaction` rolls back its own."""


@asynccontextmanager
async def open_pool(
    dsn: str, size: int, statement_cache_size: int, settings: Mapping[str, str]
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Open a pool of at most `size` connections with these server settings; raises one of PASSING, or ValueError."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        connect=Servers(dsn).connect,
        max_inactive_connection_lifetime=IDLE_CONNECTION_S,
        statement_cache_size=statement_cache_size,
        reset=_keep_session,
        server_settings=dict(settings),
    )
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await pool.close()
        except PASSING:
            pool.terminate()
