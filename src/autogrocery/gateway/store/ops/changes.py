"""Status changes of every gateway on this database, in the order of the metrics log of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

PAGE: Final = 500  # changes of one epoch in one read
LOOKED_BACK: Final = 5_000  # numbers of one epoch in which an instant is looked for


class NumberedChange(Struct, frozen=True):
    """A status change with its metric's number; `age_s` is how long ago it was made."""

    kind: str
    order_id: UUID
    from_status: str | None
    to_status: str
    cause: str
    at: datetime
    epoch: int
    sequence: int
    age_s: float


LIST_AFTER = """
-- ops.list_changes
SELECT c.*, extract(epoch FROM now() - c.at)::float8 AS age_s
  FROM unnest($1::bigint[], $2::bigint[]) AS e (epoch, after), LATERAL (
    (SELECT 'order' AS kind, h.order_id, h.from_status, h.to_status, h.cause, h.at, h.epoch, h.sequence
       FROM order_history h WHERE h.epoch = e.epoch AND h.sequence > e.after ORDER BY h.sequence LIMIT $3)
    UNION ALL
    (SELECT 'restock', h.order_id, h.from_status, h.to_status, h.cause, h.at, h.epoch, h.sequence
       FROM restock_history h WHERE h.epoch = e.epoch AND h.sequence > e.after ORDER BY h.sequence LIMIT $3)
    ORDER BY sequence LIMIT $3) c
 ORDER BY c.epoch, c.sequence
"""


async def list_changes(db: Db, after: Mapping[int, int], limit: int = PAGE) -> Sequence[NumberedChange]:
    """Return up to `limit` changes of each epoch numbered above its position in `after`, by epoch and number."""
    rows = await db.rows(LIST_AFTER, list(after), list(after.values()), limit)
    return [NumberedChange(*row.values()) for row in rows]


# greatest() ignores null. Of an epoch with LOOKED_BACK later changes, those are all that is told again.
LIST_POSITIONS = f"""
-- ops.list_positions
SELECT e.epoch, greatest(o.sequence, r.sequence, 0) AS sequence
  FROM (SELECT epoch FROM metric_epochs ORDER BY epoch DESC LIMIT $2) e,
  LATERAL (SELECT coalesce(max(sequence) FILTER (WHERE $1::timestamptz IS NULL OR at < $1),
                           CASE WHEN count(*) = {LOOKED_BACK} THEN min(sequence) - 1 END) AS sequence
     FROM (SELECT h.sequence, h.at FROM order_history h WHERE h.epoch = e.epoch
            ORDER BY h.sequence DESC LIMIT {LOOKED_BACK}) n) o,
  LATERAL (SELECT coalesce(max(sequence) FILTER (WHERE $1::timestamptz IS NULL OR at < $1),
                           CASE WHEN count(*) = {LOOKED_BACK} THEN min(sequence) - 1 END) AS sequence
     FROM (SELECT h.sequence, h.at FROM restock_history h WHERE h.epoch = e.epoch
            ORDER BY h.sequence DESC LIMIT {LOOKED_BACK}) n) r
"""  # noqa: S608 - a constant
MAX_EPOCHS: Final = 64  # the newest runs of publishers; an older one that still runs is not followed


async def list_positions(db: Db, before: datetime | None) -> dict[int, int]:
    """Return by epoch the last number of before that instant, or of now (None), of the MAX_EPOCHS newest epochs."""
    return {row["epoch"]: row["sequence"] for row in await db.rows(LIST_POSITIONS, before, MAX_EPOCHS)}


LIST_LATER_EPOCHS = """
-- ops.list_later_epochs
SELECT epoch FROM metric_epochs WHERE epoch > $1 ORDER BY epoch LIMIT $2
"""


async def list_later_epochs(db: Db, epoch: int) -> list[int]:
    """Return the epochs that began after `epoch`, at most MAX_EPOCHS."""
    return [row["epoch"] for row in await db.rows(LIST_LATER_EPOCHS, epoch, MAX_EPOCHS)]
