"""The metrics log: every status change by its metric's number, for a subscriber that missed frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.analytics.census import Census
from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.restock import RestockStatus
from autogrocery.gateway.core.status_change import MetricNumber, StatusChange

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

PAGE = 5_000
FINAL_AFTER_S = 10  # a younger number may still be written; statement and lock timeouts are far below

ADD_EPOCH = """
-- metrics_log.add_epoch
INSERT INTO metric_epochs (epoch) VALUES ($1) ON CONFLICT DO NOTHING
"""


async def add_epoch(db: Db, epoch: int) -> None:
    """Store the epoch of this run of this publisher, so that subscribers can list it."""
    await db.run(ADD_EPOCH, epoch)


class Epoch(Struct, frozen=True):
    """One run of one publisher, and the last number that was committed in it."""

    epoch: int
    last_sequence: int


LIST_EPOCHS = """
-- metrics_log.list_epochs
SELECT e.epoch, greatest(o.sequence, r.sequence, 0) AS last_sequence
  FROM metric_epochs e
  LEFT JOIN LATERAL (SELECT h.sequence, h.at FROM order_history h WHERE h.epoch = e.epoch
                      ORDER BY h.sequence DESC LIMIT 1) o ON true
  LEFT JOIN LATERAL (SELECT h.sequence, h.at FROM restock_history h WHERE h.epoch = e.epoch
                      ORDER BY h.sequence DESC LIMIT 1) r ON true
 WHERE greatest(e.started_at, o.at, r.at) > coalesce(to_timestamp($1::bigint), now() - interval '7 days')
 ORDER BY e.started_at
"""


async def list_epochs(db: Db, since_s: int | None = None) -> list[Epoch]:
    """Return the epochs that began or had a change after `since_s` (Unix seconds), oldest first.

    Without it, those of the last seven days; a publisher that has run for longer is among them while it has changes.
    """
    return [Epoch(row["epoch"], row["last_sequence"]) for row in await db.rows(LIST_EPOCHS, since_s)]


class Page(Struct, frozen=True):
    """Changes after a number, the void numbers between them, and the number after which to ask next."""

    changes: list[StatusChange]
    void: list[int]
    next_after: int


LIST_CHANGES = """
-- metrics_log.list_changes
SELECT c.*, c.at < now() - $4 * interval '1 second' AS final FROM (
  (SELECT false AS restock, h.order_id, h.version, h.to_status, h.at, h.sequence,
          o.confirmed_at, o.item_count, o.line_count,
          CASE WHEN h.to_status IN ('PREVIEWED', 'PROCESSING') THEN o.quoted_total_cents ELSE o.total_cents END
            AS total_cents
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

    A number is void if it is missing below a committed one that is older than `final_after_s`: it was reserved even
    earlier, so its write has failed.
    """
    rows = await db.rows(LIST_CHANGES, epoch, after, PAGE, final_after_s)
    changes = [
        StatusChange(
            row["order_id"],
            row["version"],
            (RestockStatus if row["restock"] else Status)(row["to_status"]),
            row["at"],
            row["confirmed_at"],
            row["total_cents"],
            row["item_count"],
            row["line_count"],
            MetricNumber(epoch, row["sequence"]),
        )
        for row in rows
    ]
    final = max((row["sequence"] for row in rows if row["final"]), default=after)
    void: list[int] = []
    next_after = expected = after
    for change in changes:
        sequence = change.number.sequence
        missing = range(expected + 1, sequence)
        void.extend(number for number in missing if number < final)
        if missing and sequence > final:
            break
        next_after = expected = sequence
    return Page(changes, void, next_after)


COUNT_CHANGES = """
-- metrics_log.count_changes
SELECT count(*) AS changes,
       coalesce(sum(('x' || left(md5(order_id || '/' || version || '/' || status), 16))::bit(64)::bigint), 0)
         AS fingerprint
  FROM (SELECT order_id, version, to_status AS status, at FROM order_history
        UNION ALL SELECT order_id, version, to_status, at FROM restock_history) changes
 WHERE at >= to_timestamp($1::bigint)
"""


async def count_changes(db: Db, since_s: int = 0) -> Census:
    """Return the census of the status changes of orders and restocks since then, to be compared with analytics."""
    row = await db.row(COUNT_CHANGES, since_s)
    assert row is not None
    return Census(row["changes"], int(row["fingerprint"]) % (1 << 64))
