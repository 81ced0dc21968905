"""The metrics as the database knows them: what a reader asks for when frames are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.restock import RestockStatus
from autogrocery.gateway.store.moves import Change
from autogrocery.gateway.store.orders import Number

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

PAGE = 5_000
FINAL_AFTER_S = 10  # a younger number may still be written: statement and lock timeouts are far below

ADD_EPOCH = """
-- metrics_log.add_epoch
INSERT INTO metric_epochs (epoch) VALUES ($1) ON CONFLICT DO NOTHING
"""


async def add_epoch(db: Db, epoch: int) -> None:
    """Make this run of this publisher known to readers."""
    await db.run(ADD_EPOCH, epoch)


class Epoch(Struct, frozen=True):
    """One run of one publisher, and the last number that it has written."""

    epoch: int
    last_sequence: int


LIST_EPOCHS = """
-- metrics_log.list_epochs
SELECT e.epoch, greatest(
         coalesce((SELECT h.sequence FROM order_history h WHERE h.epoch = e.epoch ORDER BY h.sequence DESC LIMIT 1), 0),
         coalesce((SELECT h.sequence FROM restock_history h WHERE h.epoch = e.epoch ORDER BY h.sequence DESC LIMIT 1), 0))
       AS last_sequence
  FROM metric_epochs e WHERE e.started_at > now() - interval '7 days' ORDER BY e.started_at
"""


async def list_epochs(db: Db) -> list[Epoch]:
    """Return the epochs of the last seven days, oldest first."""
    return [Epoch(row["epoch"], row["last_sequence"]) for row in await db.rows(LIST_EPOCHS)]


class Page(Struct, frozen=True):
    """Changes after a number, the numbers between them that never were, and up to where all is settled."""

    changes: list[Change]
    void: list[int]
    next_after: int


LIST_CHANGES = """
-- metrics_log.list_changes
SELECT c.*, c.at < now() - $4 * interval '1 second' AS final FROM (
  (SELECT false AS restock, h.order_id, h.version, h.to_status, h.at, h.sequence, o.confirmed_at, o.item_count, o.line_count,
          CASE WHEN h.to_status IN ('PREVIEWED', 'PROCESSING') THEN o.quoted_total_cents ELSE o.total_cents END AS total_cents
     FROM order_history h JOIN grocery_orders o USING (order_id)
    WHERE h.epoch = $1 AND h.sequence > $2 ORDER BY h.sequence LIMIT $3)
  UNION ALL
  (SELECT true, h.order_id, h.version, h.to_status, h.at, h.sequence, r.created_at, r.item_count, r.line_count, 0
     FROM restock_history h JOIN restock_orders r USING (order_id)
    WHERE h.epoch = $1 AND h.sequence > $2 ORDER BY h.sequence LIMIT $3)) c
 ORDER BY c.sequence LIMIT $3
"""


async def page(db: Db, epoch: int, after: int, final_after_s: float = FINAL_AFTER_S) -> Page:
    """Return up to PAGE changes of `epoch` numbered above `after`.

    A number that is missing below a written one which is older than `final_after_s` was taken even earlier, so its write has
    failed: it is void.
    """
    rows = await db.rows(LIST_CHANGES, epoch, after, PAGE, final_after_s)
    changes = [
        Change(
            row["order_id"],
            row["version"],
            (RestockStatus if row["restock"] else Status)(row["to_status"]),
            row["at"],
            row["confirmed_at"],
            row["total_cents"],
            row["item_count"],
            row["line_count"],
            Number(epoch, row["sequence"]),
        )
        for row in rows
    ]
    settled = max((row["sequence"] for row in rows if row["final"]), default=after)
    void: list[int] = []
    next_after = expected = after
    for change in changes:
        sequence = change.number.sequence
        missing = range(expected + 1, sequence)
        void.extend(number for number in missing if number < settled)
        if missing and sequence > settled:
            break
        next_after = expected = sequence
    return Page(changes, void, next_after)
