"""Connecting to PostgreSQL: the servers of a DSN, a pool of connections, and the errors that count as transient."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from autogrocery.kit.pg.diagnosis import require_suitable, require_well_formed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTION_S = 300.0

# Errors after which the same call may succeed: lost or refused connections, a server that starts or stops, timeouts,
# serialization failures and lock timeouts.
TRANSIENT_ERRORS = (
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
# Whatever may come of an attempt to connect, from a wrong address to a wrong password.
CONNECT_ERRORS = (*TRANSIENT_ERRORS, asyncpg.PostgresError, ValueError)


class Servers:
    """The servers that a DSN names, tried one at a time, beginning with the one that answered last.

    Given them all, asyncpg spends its whole timeout on the first host, so a silent primary would hide its successor.
    """

    def __init__(self, dsn: str) -> None:
        """Raises ValueError for a malformed address."""
        require_well_formed(dsn)
        parts = urlsplit(dsn)
        user, at, hosts = parts.netloc.rpartition("@")
        self._dsns = deque(urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(","))

    async def connect(self, *_dsn: Any, **named: Any) -> Any:
        """Connect to the first server that answers within its share of the timeout; raises the last one's error."""
        named["timeout"] /= len(self._dsns)
        for left in reversed(range(len(self._dsns))):
            dsn = self._dsns[0]
            self._dsns.rotate(-1)  # even if the caller cancels this attempt, the next one begins with another server
            try:
                connection = await _connect_suitable(dsn, **named)
            except TRANSIENT_ERRORS:
                if not left:
                    raise
                continue
            self._dsns.remove(dsn)
            self._dsns.appendleft(dsn)
            return connection
        raise AssertionError("a DSN names a server")


async def _connect_suitable(dsn: str, **named: Any) -> Any:
    try:
        connection = await asyncpg.connect(dsn, **named)
    except KeyError:  # of `getpass`: the address names no user, and this account has no name
        raise ValueError("the address names no user") from None
    try:
        require_suitable(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _keep_session(_connection: Any) -> None:
    """Skip asyncpg's reset, a round trip at each release: sessions keep no changed settings and no open transaction."""


@asynccontextmanager
async def open_pool(
    dsn: str, size: int, statement_cache_size: int, settings: Mapping[str, str]
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Open a pool of at most `size` connections with these settings; raises one of TRANSIENT_ERRORS, or ValueError."""
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
        except TRANSIENT_ERRORS:
            pool.terminate()
