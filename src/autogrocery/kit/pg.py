"""PostgreSQL through asyncpg: a pool whose waits are bounded and whose trouble has one name.

One verb call is one statement and one commit, never under a timeout or cancellation of ours: a commit whose answer is lost
is unknown, so `Unavailable` says "ask again", not "nothing happened". `statement_timeout` bounds the statement itself. A
server that then gives no answer for SILENCE_S seconds is taken for lost, and the connection ended; what it did is unknown.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from autogrocery.kit import faults
from autogrocery.kit.refusals import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

T = TypeVar("T")
Row = asyncpg.Record
ACQUIRE_TIMEOUT_S = 0.25  # for a connection that others have
OPEN_TIMEOUT_S = 1.0  # for one that must be opened first: after a restart of the server all of them
STATEMENT_TIMEOUT_MS = 1_000
LOCK_TIMEOUT_MS = 500
IDLE_TRANSACTION_TIMEOUT_MS = 5_000
CONNECT_TIMEOUT_S = 5.0
RETRY_AFTER_S = 1.0
SILENCE_S = (
    9.0  # beyond statement_timeout: a network that swallows answers would keep a connection, and its caller, for ever
)

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


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable("database_unavailable", f"the database gave no answer ({type(error).__name__})",
                       retry_after_s=RETRY_AFTER_S)  # fmt: skip


def point_of(sql: str) -> str:
    """Return the fault point of a statement: what stands in the comment of its first line, `-- orders.add`."""
    first = sql.lstrip().split("\n", 1)[0]
    return first.removeprefix("--").strip() if first.startswith("--") else "pg"


class Statements:
    """The verbs, on one connection."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy[Row], answer_within_s: float) -> None:
        self._connection = connection
        self._answer_within_s = answer_within_s

    async def rows(self, sql: str, *args: Any) -> Sequence[Row]:
        """All rows of one statement."""
        return await self._through(sql, lambda: self._connection.fetch(sql, *args))

    async def row(self, sql: str, *args: Any) -> Row | None:
        """First row of one statement, or None."""
        found = await self.rows(sql, *args)
        return found[0] if found else None

    async def run(self, sql: str, *args: Any) -> int:
        """Number of rows that one statement changed."""
        tag = await self._through(sql, lambda: self._connection.execute(sql, *args))
        return int(tag.rpartition(" ")[2])

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        transaction = self._connection.transaction()
        await self._through("-- pg.begin", transaction.start)
        try:
            yield
        except BaseException:
            with suppress(Unavailable):  # the server rolls back what a lost connection left
                await self._through("-- pg.rollback", transaction.rollback)
            raise
        await self._through("-- pg.commit", transaction.commit)

    async def _through(self, sql: str, call: Callable[[], Awaitable[T]]) -> T:
        watch = asyncio.get_running_loop().call_later(self._answer_within_s, self._connection.terminate)
        try:
            return await faults.through(point_of(sql) if faults.counting() else "", call)
        except PASSING as error:
            raise _unavailable(error) from error
        except asyncio.CancelledError:
            self._connection.terminate()  # whoever gave up does not wait until the server has done so too
            raise
        finally:
            watch.cancel()


class Db:
    """A pool with the same verbs; each call takes a connection for one statement."""

    def __init__(
        self, pool: asyncpg.Pool[Row], answer_within_s: float = STATEMENT_TIMEOUT_MS / 1_000 + SILENCE_S
    ) -> None:
        self._pool = pool
        self._answer_within_s = answer_within_s

    async def rows(self, sql: str, *args: Any) -> Sequence[Row]:
        """All rows of one statement."""
        async with self.connection() as connection:
            return await connection.rows(sql, *args)

    async def row(self, sql: str, *args: Any) -> Row | None:
        """First row of one statement, or None."""
        async with self.connection() as connection:
            return await connection.row(sql, *args)

    async def run(self, sql: str, *args: Any) -> int:
        """Number of rows that one statement changed."""
        async with self.connection() as connection:
            return await connection.run(sql, *args)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Statements]:
        """One connection for several statements, each its own commit; raises Unavailable if none is free in time."""
        try:
            taken = await self._pool.acquire(timeout=self._patience_s())
        except PASSING as error:
            raise _unavailable(error) from error
        try:
            yield Statements(taken, self._answer_within_s)
        finally:
            await self._give_back(taken)

    def _patience_s(self) -> float:
        pool = self._pool
        must_open = pool.get_idle_size() == 0 and pool.get_size() < pool.get_max_size()
        return OPEN_TIMEOUT_S if must_open else ACQUIRE_TIMEOUT_S

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        """One transaction; never hold it across a call to a peer. A failed commit raises Unavailable: unknown."""
        async with self.connection() as connection, connection._transaction():  # noqa: SLF001 - two halves of one file
            yield connection

    async def _give_back(self, taken: Any) -> None:
        with suppress(*PASSING):  # a broken connection is dropped by the pool
            await asyncio.shield(self._pool.release(taken, timeout=CONNECT_TIMEOUT_S))


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
async def open_db(
    dsn: str,
    *,
    application: str,
    max_size: int = 10,
    statement_cache_size: int = 256,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    silence_s: float = SILENCE_S,
) -> AsyncIterator[Db]:
    """Open a pool on `dsn`; raises Unavailable if the server can't be reached within CONNECT_TIMEOUT_S.

    A connection that is silent for `silence_s` beyond the statement's own timeout is ended. `statement_cache_size` 0 suits a transaction pooler before PgBouncer 1.21.
    """
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=max_size,
            timeout=CONNECT_TIMEOUT_S,
            connect=Servers(dsn).connect,
            max_inactive_connection_lifetime=300.0,
            statement_cache_size=statement_cache_size,
            reset=_keep_session,
            server_settings={
                "application_name": application,
                "statement_timeout": str(statement_timeout_ms),
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_TIMEOUT_MS),
                "jit": "off",
            },
        )
    except (*PASSING, ValueError) as error:
        raise _unavailable(error) from error
    try:
        yield Db(pool, statement_timeout_ms / 1_000 + silence_s)
    finally:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await pool.close()
        except PASSING:
            pool.terminate()
