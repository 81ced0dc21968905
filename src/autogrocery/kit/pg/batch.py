"""One statement for what many callers want: each brings a row, all leave together in one commit, each has its own outcome.

The lanes have connections of their own, on which the planner has one way only: primary keys. A statement prepared while its
tables are empty would else keep a plan for empty tables, three to fourteen times slower later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
from msgspec import Struct

from autogrocery.kit.pg.batcher import Lane

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

# The server says itself that the statement had no effect, because of some row of the batch: each row is tried alone.
ROLLED_BACK = (
    asyncpg.exceptions.IntegrityConstraintViolationError,
    asyncpg.exceptions.DataError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.LockNotAvailableError,
    asyncpg.exceptions.QueryCanceledError,
)


class Many(Struct, frozen=True):
    """A statement whose parameters are columns: first those of the row, then those of each list below it.

    `widths` counts the columns of the row and of each list. `key` is the column of the row that names the item; each row of
    the answer names it in its first column.

    `alone`, if given, is the same statement for one item, and may wait for locks: it is run for each item that has no row in
    the answer, so that a row which somebody holds keeps nobody else waiting.
    """

    sql: str
    widths: tuple[int, ...]
    key: int = 0
    alone: str = ""

    def columns(self, items: Sequence[Item]) -> list[list[Any]]:
        """Turn items into one array for each parameter."""
        tables: list[list[Sequence[Any]]] = [[item[0] for item in items]]
        tables += [[row for item in items for row in item[at]] for at in range(1, len(self.widths))]
        columns: list[list[Any]] = []
        for table, width in zip(tables, self.widths, strict=True):
            columns += map(list, zip(*table, strict=True)) if table else ([] for _ in range(width))
        return columns


Item = tuple[Any, ...]  # the row, then a list of rows for each further width


def text_array(texts: Iterable[str]) -> str:
    """Return some texts, one at least, as PostgreSQL writes an array: a column of such is how each item brings a list in its row."""
    return '{"' + '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts) + '"}'


class LeftBehindError(Exception):
    """Nothing was done for this item; try it alone."""


def lane_of(many: Many, name: str, run: Run) -> Lane[Item, Sequence[Row]]:
    """Return the lane of a statement; `run(sql, *columns)` gives the rows of one execution."""

    async def flush(items: Sequence[Item]) -> Sequence[list[Row] | Exception]:
        try:
            rows = await run(many.sql, *many.columns(items))
        except Exception as error:
            if len(items) == 1 or not isinstance(error.__cause__ or error, ROLLED_BACK):
                raise
            return [LeftBehindError() for _ in items]
        found: dict[Any, list[Row]] = {item[0][many.key]: [] for item in items}
        for row in rows:
            found[row[0]].append(row)
        return [LeftBehindError() if many.alone and not own else own for own in found.values()]

    return Lane(name, flush, key=lambda item: item[0][many.key], late_code="database_unavailable")
