"""One statement for the rows of many callers: one execution and one commit for all, an outcome for each.

Batched statements have connections of their own, whose planner settings leave one plan: the one by primary keys. A
statement prepared while its tables are empty would otherwise keep the plan for empty tables, 3 to 14 times slower
later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
from msgspec import Struct

from autogrocery.kit.pg.batcher import Batcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    Row = asyncpg.Record
    Run = Callable[..., Awaitable[Sequence[Row]]]

PLANNER = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
}

# The server reports that the statement had no effect, because of some row of the batch: then each row is tried alone.
ROLLED_BACK = (
    asyncpg.exceptions.IntegrityConstraintViolationError,
    asyncpg.exceptions.DataError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.QueryCanceledError,
)


class Call(NamedTuple):
    """One execution of a statement: its text and its parameters."""

    sql: str
    parameters: Sequence[Any]


class BatchStatement(Struct, frozen=True):
    """A statement that takes many items: each parameter is an array, one column of the items' rows or of their lists.

    `widths` is the number of columns of an item's row, then of each of its lists. `key` is the index of the column that
    identifies the item; the first column of each result row repeats it.

    `alone`, if given, is the same statement for one item and may wait for locks: it runs for each item that has no
    result row, so that an item whose rows are locked by another transaction does not delay the rest of the batch.

    A subclass may pass the items in another form, or choose a text by what they are.
    """

    sql: str
    widths: tuple[int, ...] = ()
    key: int = 0
    alone: str = ""

    def call(self, items: Sequence[Item]) -> Call:
        """Return the execution for all items together."""
        return Call(self.sql, self.columns(items))

    def call_alone(self, item: Item) -> Call:
        """Return the execution for one item that runs alone."""
        return Call(self.alone or self.sql, self.columns([item]))

    def columns(self, items: Sequence[Item]) -> list[list[Any]]:
        """Return one array for each parameter, from the items."""
        tables: list[list[Sequence[Any]]] = [[item[0] for item in items]]
        tables += [[row for item in items for row in item[at]] for at in range(1, len(self.widths))]
        columns: list[list[Any]] = []
        for table, width in zip(tables, self.widths, strict=True):
            columns += map(list, zip(*table, strict=True)) if table else ([] for _ in range(width))
        return columns


Item = tuple[Any, ...]  # the item's row, then one list of rows for each further width


def text_array(texts: Iterable[str]) -> str:
    """Return one or more texts as a PostgreSQL array literal: so an item's row carries a list in one column."""
    return '{"' + '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts) + '"}'


class NotInBatchError(Exception):
    """The batch had no effect for this item: run its statement alone."""


def batcher_for(statement: BatchStatement, name: str, run: Run) -> Batcher[Item, Sequence[Row]]:
    """Return the batcher of a statement; `run(sql, *columns)` executes it once and returns the rows."""

    async def flush(items: Sequence[Item]) -> Sequence[list[Row] | Exception]:
        try:
            sql, parameters = statement.call(items)
            rows = await run(sql, *parameters)
        except Exception as error:
            if len(items) == 1 or not isinstance(error.__cause__ or error, ROLLED_BACK):
                raise
            return [NotInBatchError() for _ in items]
        found: dict[Any, list[Row]] = {item[0][statement.key]: [] for item in items}
        for row in rows:
            found[row[0]].append(row)
        return [NotInBatchError() if statement.alone and not own else own for own in found.values()]

    return Batcher(name, flush, key=lambda item: item[0][statement.key], late_code="database_unavailable")
