"""PostgreSQL through asyncpg: a pool with bounded waits, whose every transient error is `Unavailable`.

One call is one statement and one commit, without a timeout of ours around it: the outcome of a commit whose answer is
lost is unknown, so `Unavailable` means "ask again", not "nothing happened". The server's `statement_timeout` bounds the
statement. If no answer came ANSWER_GRACE_S seconds after that, the connection is terminated; the outcome is unknown.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.batch import PLANNER, NotInBatchError, batcher_for
from autogrocery.kit.pg.connect import CONNECT_ERRORS, CONNECT_TIMEOUT_S, TRANSIENT_ERRORS, open_pool
from autogrocery.kit.pg.diagnosis import TIME_LIMITS, explain, require_time_limits
from autogrocery.kit.process import faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from autogrocery.kit.pg.batch import BatchStatement, Item
    from autogrocery.kit.pg.batcher import Batcher

T = TypeVar("T")
Row = asyncpg.Record
ACQUIRE_TIMEOUT_S = 0.25  # while all connections are in use
OPEN_TIMEOUT_S = 1.0  # if a connection must be opened first, as all must after the server restarted
STATEMENT_TIMEOUT_MS = 1_000
LOCK_TIMEOUT_MS = 500
IDLE_TRANSACTION_TIMEOUT_MS = 5_000
BATCH_TIMEOUT_S = 3.0  # after which a batch counts as unanswered, so that the next one is not delayed
RETRY_AFTER_S = 1.0
# Beyond statement_timeout: without it a network that drops packets would keep a connection and its caller for ever.
ANSWER_GRACE_S = 9.0


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable(
        "database_unavailable", f"the database gave no answer ({type(error).__name__})", retry_after_s=RETRY_AFTER_S
    )


def point_of(sql: str) -> str:
    """Return the fault point of a statement: the comment in its first line, `-- orders.add`; "pg" if there is none."""
    first = sql.lstrip().split("\n", 1)[0]
    return first.removeprefix("--").strip() if first.startswith("--") else "pg"


class DbConnection:
    """One connection of the pool and the calls that run a statement on it."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy[Row], answer_within_s: float) -> None:
        self._connection = connection
        self._answer_within_s = answer_within_s

    async def rows(self, sql: str, *args: Any) -> Sequence[Row]:
        """Run one statement and return its rows."""
        return await self._through(sql, lambda: self._connection.fetch(sql, *args))

    async def row(self, sql: str, *args: Any) -> Row | None:
        """Run one statement and return its first row, or None."""
        found = await self.rows(sql, *args)
        return found[0] if found else None

    async def run(self, sql: str, *args: Any) -> int:
        """Run one statement and return the number of rows that it changed."""
        tag = await self._through(sql, lambda: self._connection.execute(sql, *args))
        return int(tag.rpartition(" ")[2])

    async def run_batched(
        self, statement: BatchStatement, point: str, row: Sequence[Any], *lists: Sequence[Sequence[Any]]
    ) -> Sequence[Row]:
        """Run a batch statement for one item, alone, and return its rows; `point` is the item's own fault point."""
        sql, parameters = statement.call_alone((row, *lists))
        return await self._through(f"-- {point}", lambda: self._connection.fetch(sql, *parameters))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        transaction = self._connection.transaction()
        await self._through("-- pg.begin", transaction.start)
        try:
            yield
        except BaseException:
            with suppress(Unavailable):  # if the connection is lost, the server rolls back itself
                await self._through("-- pg.rollback", transaction.rollback)
            raise
        await self._through("-- pg.commit", transaction.commit)

    async def _through(self, sql: str, call: Callable[[], Awaitable[T]]) -> T:
        deadline = asyncio.get_running_loop().call_later(self._answer_within_s, self._connection.terminate)
        try:
            return await faults.through(point_of(sql) if faults.active() else "", call)
        except TRANSIENT_ERRORS as error:
            raise _unavailable(error) from error
        except asyncio.CancelledError:
            self._connection.terminate()  # a cancelled caller does not wait for the server to cancel the statement
            raise
        finally:
            deadline.cancel()


class Db:
    """A pool with the calls of `DbConnection`; each takes a connection for one statement."""

    def __init__(
        self, pool: asyncpg.Pool[Row], batch_pool: asyncpg.Pool[Row], answer_within_s: float, *, batches: bool = True
    ) -> None:
        """Run statements on connections of `pool`, batch statements on those of `batch_pool`, or each alone."""
        self._pool = pool
        self._batch_pool = batch_pool
        self._answer_within_s = answer_within_s
        self._batches = batches
        self._batchers: dict[str, Batcher[Item, Sequence[Row]]] = {}

    async def rows(self, sql: str, *args: Any) -> Sequence[Row]:
        """Run one statement and return its rows."""
        async with self.connection() as connection:
            return await connection.rows(sql, *args)

    async def row(self, sql: str, *args: Any) -> Row | None:
        """Run one statement and return its first row, or None."""
        async with self.connection() as connection:
            return await connection.row(sql, *args)

    async def run(self, sql: str, *args: Any) -> int:
        """Run one statement and return the number of rows that it changed."""
        async with self.connection() as connection:
            return await connection.run(sql, *args)

    async def run_batched(
        self, statement: BatchStatement, point: str, row: Sequence[Any], *lists: Sequence[Sequence[Any]]
    ) -> Sequence[Row]:
        """Run a batch statement for one item, together with the items of concurrent callers; returns its rows.

        Its effect is committed when this returns. An item for which the batch had no effect is run alone.
        `point` is the item's own fault point.
        """
        item = (row, *lists)
        if not self._batches:
            return await self._run_alone(statement, item)
        batcher = self._batchers.get(statement.sql) or self._open_batcher(statement)
        try:
            return await faults.through(point, lambda: batcher.submit(item))
        except NotInBatchError:
            return await self._run_alone(statement, item)
        except TRANSIENT_ERRORS as error:
            raise _unavailable(error) from error

    async def rows_by_key(self, sql: str, *args: Any) -> Sequence[Row]:
        """Run one statement for many rows and return its rows, with the plan of batch statements: by primary keys."""
        async with self._acquired(self._batch_pool, OPEN_TIMEOUT_S) as connection:
            return await connection.rows(sql, *args)

    async def _run_alone(self, statement: BatchStatement, item: Item) -> Sequence[Row]:
        sql, parameters = statement.call_alone(item)
        return await self.rows(sql, *parameters)

    def _open_batcher(self, statement: BatchStatement) -> Batcher[Item, Sequence[Row]]:
        async def run(sql: str, *columns: Any) -> Sequence[Row]:
            try:
                async with asyncio.timeout(BATCH_TIMEOUT_S):
                    return await self.rows_by_key(sql, *columns)
            except TimeoutError as error:
                raise _unavailable(error) from error

        batcher = self._batchers[statement.sql] = batcher_for(statement, point_of(statement.sql), run)
        return batcher

    async def drain(self) -> None:
        """Wait until every batched item has its outcome, at most CONNECT_TIMEOUT_S seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                for batcher in self._batchers.values():
                    await batcher.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[DbConnection]:
        """Yield one connection for several statements, each its own commit; Unavailable if none is free in time."""
        async with self._acquired(self._pool, ACQUIRE_TIMEOUT_S) as connection:
            yield connection

    @asynccontextmanager
    async def _acquired(self, pool: asyncpg.Pool[Row], timeout_s: float) -> AsyncIterator[DbConnection]:
        must_open = pool.get_idle_size() == 0 and pool.get_size() < pool.get_max_size()
        try:
            # Not asyncpg's own timeout, for which it starts a task.
            async with asyncio.timeout(OPEN_TIMEOUT_S if must_open else timeout_s):
                connection = await pool.acquire()
        except (*TRANSIENT_ERRORS, asyncpg.PostgresError) as error:  # such as a password that was changed
            raise _unavailable(error) from error
        try:
            yield DbConnection(connection, self._answer_within_s)
        finally:
            await _release(pool, connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DbConnection]:
        """Yield one transaction; never hold it across a call to a peer. Unavailable at its end: outcome unknown."""
        async with self.connection() as connection, connection._transaction():  # noqa: SLF001 - two halves of one file
            yield connection


async def _release(pool: asyncpg.Pool[Row], connection: Any) -> None:
    with suppress(*TRANSIENT_ERRORS):  # the pool drops a broken connection
        await pool.release(connection, timeout=CONNECT_TIMEOUT_S)  # goes on if this task is cancelled


@asynccontextmanager
async def open_db(
    dsn: str,
    *,
    application: str,
    max_size: int = 10,
    batch_connections: int = 2,
    statement_cache_size: int = 256,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    answer_grace_s: float = ANSWER_GRACE_S,
    batches: bool = True,
    direct_dsn: str = "",
    read_only: bool = False,
) -> AsyncIterator[Db]:
    """Open a pool on `dsn`; raises Unavailable, whose detail says why, if no server can be used.

    Batch statements have up to `batch_connections` connections beside the `max_size` others. A connection whose
    statement is unanswered `answer_grace_s` seconds after `statement_timeout_ms` is terminated. Without `batches` each
    item of a batch statement is run alone. The transactions of a `read_only` pool can't write.

    With `direct_dsn`, `dsn` is a pooler that gives each transaction any session, such as PgBouncer: statements are not
    prepared there, and time limits are those of the role, which must have some. Batch statements go to `direct_dsn`.
    """
    settings = {
        "application_name": application,
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_TIMEOUT_MS),
        "jit": "off",
    }
    if read_only:
        settings["default_transaction_read_only"] = "on"
    async with AsyncExitStack() as stack:
        used = dsn
        try:
            if direct_dsn:
                pool = await stack.enter_async_context(open_pool(dsn, max_size, 0, {"application_name": application}))
                require_time_limits(await pool.fetchrow(TIME_LIMITS))
                used = direct_dsn
            else:
                pool = await stack.enter_async_context(open_pool(dsn, max_size, statement_cache_size, settings))
            batch_pool = await stack.enter_async_context(
                open_pool(used, batch_connections, statement_cache_size, settings | PLANNER)
            )
        except CONNECT_ERRORS as error:
            raise Unavailable("database_unavailable", explain(error, used), retry_after_s=RETRY_AFTER_S) from error
        db = Db(pool, batch_pool, statement_timeout_ms / 1_000 + answer_grace_s, batches=batches)
        try:
            yield db
        finally:
            await db.drain()
