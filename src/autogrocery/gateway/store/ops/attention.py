"""What needs a person: flagged orders and restocks, and dead letters. Each statement reads a partial index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class Flagged(Struct, frozen=True):
    """A living order or restock that is flagged; `since` is when its intent was promised, or it was dispatched."""

    kind: str
    order_id: UUID
    status: str
    intent: str | None
    attention: str
    since: datetime


LIST_FLAGGED = """
-- ops.list_flagged
(SELECT 'order' AS kind, order_id, status, intent, attention, coalesce(intent_at, dispatched_at, created_at) AS since
   FROM grocery_orders WHERE due_at IS NOT NULL AND attention IS NOT NULL ORDER BY 6 LIMIT $1)
UNION ALL
(SELECT 'restock', order_id, status, intent, attention, coalesce(intent_at, accepted_at, created_at)
   FROM restock_orders WHERE due_at IS NOT NULL AND attention IS NOT NULL ORDER BY 6 LIMIT $1)
"""


async def list_flagged(db: Db, limit: int) -> list[Flagged]:
    """Return up to `limit` flagged orders and as many restocks, oldest first."""
    return [Flagged(*row.values()) for row in await db.rows(LIST_FLAGGED, limit)]


class DeadLetter(Struct, frozen=True):
    """A receipt or an alert that was given up, and its last error."""

    kind: str
    order_id: UUID
    dead_at: datetime
    last_error: str | None


LIST_DEAD = """
-- ops.list_dead
(SELECT 'receipt' AS kind, order_id, dead_at, last_error
   FROM receipt_outbox WHERE dead_at IS NOT NULL AND done_at IS NULL ORDER BY dead_at LIMIT $1)
UNION ALL
(SELECT 'alert', order_id, dead_at, last_error
   FROM alert_outbox WHERE dead_at IS NOT NULL AND done_at IS NULL ORDER BY dead_at LIMIT $1)
"""


async def list_dead(db: Db, limit: int) -> list[DeadLetter]:
    """Return up to `limit` dead receipts and as many alerts, oldest first."""
    return [DeadLetter(*row.values()) for row in await db.rows(LIST_DEAD, limit)]


COUNT_FLAGGED = """
-- ops.count_flagged
SELECT (SELECT count(*) FROM grocery_orders WHERE due_at IS NOT NULL AND attention IS NOT NULL)
     + (SELECT count(*) FROM restock_orders WHERE due_at IS NOT NULL AND attention IS NOT NULL) AS flagged
"""


async def count_flagged(db: Db) -> int:
    """Return how many living orders and restocks are flagged."""
    row = await db.row(COUNT_FLAGGED)
    return int(row["flagged"]) if row is not None else 0
