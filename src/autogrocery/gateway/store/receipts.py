"""The outbox of receipts: delivery states, and the replay of dead letters. The notifier delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class ReceiptState(Struct, frozen=True):
    """The delivery state of the receipt of an order of `device_id`.

    `state` is `done`, `dead` or `due`; `reason` is the last error, or why nothing was sent; `at` is when it got that
    state, or when the next attempt is due.
    """

    order_id: UUID
    device_id: str
    state: str
    attempts: int
    reason: str | None
    at: datetime


LIST = """
-- receipts.list
SELECT r.order_id, d.device_id, r.attempts, r.last_error, coalesce(r.done_at, r.dead_at, r.next_attempt_at) AS at,
       CASE WHEN r.done_at IS NOT NULL THEN 'done' WHEN r.dead_at IS NOT NULL THEN 'dead' ELSE 'due' END AS state
  FROM receipt_outbox r JOIN grocery_orders o USING (order_id) JOIN smart_devices d ON d.id = o.user_id
 WHERE NOT $1 OR (r.dead_at IS NOT NULL AND r.done_at IS NULL)
 ORDER BY r.created_at DESC, r.order_id LIMIT $2
"""


async def list_receipts(db: Db, *, dead_only: bool, limit: int) -> list[ReceiptState]:
    """Return up to `limit` receipts, newest first."""
    return [
        ReceiptState(row["order_id"], row["device_id"], row["state"], row["attempts"], row["last_error"], row["at"])
        for row in await db.rows(LIST, dead_only, limit)
    ]


LIST_DONE = """
-- receipts.list_done
SELECT order_id FROM receipt_outbox WHERE done_at IS NOT NULL
"""


async def list_done(db: Db) -> list[UUID]:
    """Return the orders whose receipt was sent or needs none."""
    return [row["order_id"] for row in await db.rows(LIST_DONE)]


# created_at starts the 24 hours again in which temporary failures are retried.
REPLAY = """
-- receipts.replay
UPDATE receipt_outbox SET dead_at = NULL, last_error = NULL, attempts = 0, created_at = now(), next_attempt_at = now()
 WHERE dead_at IS NOT NULL AND done_at IS NULL AND ($1::uuid[] IS NULL OR order_id = ANY($1))
"""


async def replay(db: Db, only: Sequence[UUID] | None = None) -> int:
    """Make dead receipts due again, all or those of the orders `only`; returns how many.

    A receipt that was sent is never dead.
    """
    return await db.run(REPLAY, list(only) if only is not None else None)


COUNT_DEAD = """
-- receipts.count_dead
SELECT (SELECT count(*) FROM receipt_outbox WHERE dead_at IS NOT NULL AND done_at IS NULL) AS receipts,
       (SELECT count(*) FROM alert_outbox WHERE dead_at IS NOT NULL AND done_at IS NULL) AS alerts
"""


async def count_dead(db: Db) -> dict[str, int]:
    """Return how many receipts and alerts are dead letters. Scans both outboxes."""
    row = await db.row(COUNT_DEAD)
    return dict(row.items()) if row else {}
