"""PostgreSQL through asyncpg: a pool whose waits are bounded and whose trouble has one name.

One verb call is one statement and one commit, never under a timeout or cancellation of ours: a commit whose answer is lost
is unknown, so `Unavailable` says "ask again", not "nothing happened". `statement_timeout` bounds the statement itself. A
server that then gives no answer for SILENCE_S seconds is taken for lost, and the connection ended; what it did is unknown.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.batch import PLANNER, LeftBehindError, lane_of
from autogrocery.kit.pg.connect import CONNECT_TIMEOUT_S, PASSING, open_pool
from autogrocery.kit.pg.recent import Recent
from autogrocery.kit.process import faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from autogrocery.kit.pg.batch import Item, Many
    from autogrocery.kit.pg.batcher import Lane

T = TypeVar("T")
Row = asyncpg.Record
ACQUIRE_TIMEOUT_S = 0.25  # for a connection that others have
OPEN_TIMEOUT_S = 1.0  # for one that must be opened first: after a restart of the server all of them
STATEMENT_TIMEOUT_MS = 1_000
LOCK_TIMEOUT_MS = 500
IDLE_TRANSACTION_TIMEOUT_MS = 5_000
BATCH_TIMEOUT_S = 3.0  # after which a statement for many counts as unanswered, so that the next is not kept waiting
RETRY_AFTER_S = 1.0
# Beyond statement_timeout: a network that swallows answers would keep a connection, and its caller, for ever.
SILENCE_S = 9.0


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable(
        "database_unavailable", f"the database gave no answer ({type(error).__name__})", retry_after_s=RETRY_AFTER_S
    )


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

    async def together(
        self, many: Many, point: str, row: Sequence[Any], *lists: Sequence[Sequence[Any]]
    ) -> Sequence[Row]:
        """The rows for one item of a statement that takes many, here alone; `point` is the item's own fault point."""
        sql, columns = many.alone or many.sql, many.columns([(row, *lists)])
        return await self._through(f"-- {point}", lambda: self._connection.fetch(sql, *columns))

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
    """A pool with the same verbs; each call takes a connection for one statement.

    `recent` is a bounded memory of what this process wrote or read, for the modules that own the rows.
    """

    def __init__(self, pool: asyncpg.Pool[Row], shared: asyncpg.Pool[Row], answer_within_s: float) -> None:
        """Read and write through `pool`; the statements that take many have the connections of `shared`."""
        self.recent: Recent[Any] = Recent()
        self._pool = pool
        self._shared = shared
        self._answer_within_s = answer_within_s
        self._lanes: dict[str, Lane[Item, Sequence[Row]]] = {}

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

    async def together(
        self, many: Many, point: str, row: Sequence[Any], *lists: Sequence[Sequence[Any]]
    ) -> Sequence[Row]:
        """The rows for one item of a statement that takes many: it leaves with what others ask at the same time.

        Its effect is committed when this returns. One that the batch left behind, or failed for, is tried alone.
        """
        item = (row, *lists)
        lane = self._lanes.get(many.sql) or self._open_lane(many)
        try:
            return await faults.through(point, lambda: lane.ask(item))
        except LeftBehindError:
            return await self.rows(many.alone or many.sql, *many.columns([item]))
        except PASSING as error:
            raise _unavailable(error) from error

    def _open_lane(self, many: Many) -> Lane[Item, Sequence[Row]]:
        async def run(sql: str, *columns: Any) -> Sequence[Row]:
            try:
                async with (
                    asyncio.timeout(BATCH_TIMEOUT_S),
                    self._taken_from(self._shared, OPEN_TIMEOUT_S) as connection,
                ):
                    return await connection.rows(sql, *columns)
            except TimeoutError as error:
                raise _unavailable(error) from error

        lane = self._lanes[many.sql] = lane_of(many, point_of(many.sql), run)
        return lane

    async def settle(self) -> None:
        """Wait until all that was asked together is answered, at most CONNECT_TIMEOUT_S seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                for lane in self._lanes.values():
                    await lane.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Statements]:
        """One connection for several statements, each its own commit; raises Unavailable if none is free in time."""
        async with self._taken_from(self._pool, ACQUIRE_TIMEOUT_S) as connection:
            yield connection

    @asynccontextmanager
    async def _taken_from(self, pool: asyncpg.Pool[Row], patience_s: float) -> AsyncIterator[Statements]:
        must_open = pool.get_idle_size() == 0 and pool.get_size() < pool.get_max_size()
        try:
            taken = await pool.acquire(timeout=OPEN_TIMEOUT_S if must_open else patience_s)
        except PASSING as error:
            raise _unavailable(error) from error
        try:
            yield Statements(taken, self._answer_within_s)
        finally:
            await _give_back(pool, taken)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        """One transaction; never hold it across a call to a peer. A failed commit raises Unavailable: unknown."""
        async with self.connection() as connection, connection._transaction():  # noqa: SLF001 - two halves of one file
            yield connection


async def _give_back(pool: asyncpg.Pool[Row], taken: Any) -> None:
    with suppress(*PASSING):  # a broken connection is dropped by the pool
        await asyncio.shield(pool.release(taken, timeout=CONNECT_TIMEOUT_S))


@asynccontextmanager
async def open_db(
    dsn: str,
    *,
    application: str,
    max_size: int = 10,
    lanes: int = 2,
    statement_cache_size: int = 256,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    silence_s: float = SILENCE_S,
) -> AsyncIterator[Db]:
    """Open a pool on `dsn`; raises Unavailable if the server can't be reached within CONNECT_TIMEOUT_S.

    Statements that take many have up to `lanes` connections beside the `max_size` others. A connection that is silent for `silence_s` beyond the statement's own timeout is ended. `statement_cache_size` 0 suits a transaction pooler before PgBouncer 1.21.
    """
    settings = {
        "application_name": application,
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_TIMEOUT_MS),
        "jit": "off",
    }
    async with AsyncExitStack() as stack:
        try:
            pool = await stack.enter_async_context(open_pool(dsn, max_size, statement_cache_size, settings))
            shared = await stack.enter_async_context(open_pool(dsn, lanes, statement_cache_size, settings | PLANNER))
        except (*PASSING, ValueError) as error:
            raise _unavailable(error) from error
        db = Db(pool, shared, statement_timeout_ms / 1_000 + silence_s)
        try:
            yield db
        finally:
            await db.settle()
