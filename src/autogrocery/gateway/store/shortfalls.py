"""What ended orders and deliveries lack, by order id: lines picked short, and goods announced against received.

Each query looks its rows up by primary keys, so that no index is kept for analytics on tables that orders write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TC003 - msgspec reads it from the Structs

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from autogrocery.kit.pg.db import Db

MICROSECONDS = 1_000_000


class ShortLine(Struct, frozen=True):
    """A line of a COMPLETED order of which less was picked than granted; `ended_at` in Unix microseconds."""

    order_id: UUID
    ended_at: int
    sku: str
    name: str
    granted: int
    picked: int
    unit_price_cents: int


class DeliveredAisle(Struct, frozen=True):
    """Units of one aisle of a restock that has ended.

    `damaged` is part of `received`; of its lines `missing` adds up what did not come, `surplus` what came beyond.
    """

    order_id: UUID
    ended_at: int
    aisle: str
    announced: int
    received: int
    damaged: int
    missing: int
    surplus: int


LIST_SHORT_LINES = """
-- shortfalls.list_short_lines
SELECT o.order_id, o.finished_at, l.sku, l.name, l.quantity, p.picked, l.unit_price_cents
  FROM unnest($1::uuid[]) AS q (order_id)
  JOIN grocery_orders o ON o.order_id = q.order_id
  JOIN short_picks p ON p.order_id = o.order_id
  JOIN order_lines l ON l.order_id = p.order_id AND l.line_no = p.line_no
 WHERE o.status = 'COMPLETED'
 ORDER BY o.order_id, l.line_no
"""


async def list_short_lines(db: Db, order_ids: Sequence[UUID]) -> list[ShortLine]:
    """Return the short lines of those of the orders that are COMPLETED, by order and line."""
    return [
        ShortLine(
            row["order_id"],
            _microseconds(row["finished_at"]),
            row["sku"],
            row["name"],
            row["quantity"],
            row["picked"],
            row["unit_price_cents"],
        )
        for row in await db.rows(LIST_SHORT_LINES, list(order_ids))
    ]


LIST_DELIVERED = """
-- shortfalls.list_delivered
SELECT r.order_id, r.finished_at, l.aisle_type,
       sum(l.quantity)::bigint AS announced, sum(l.received)::bigint AS received, sum(l.damaged)::bigint AS damaged,
       sum(greatest(l.quantity - l.received, 0))::bigint AS missing,
       sum(greatest(l.received - l.quantity, 0))::bigint AS surplus
  FROM unnest($1::uuid[]) AS q (order_id)
  JOIN restock_orders r ON r.order_id = q.order_id
  JOIN restock_lines l ON l.order_id = r.order_id
 WHERE r.status = 'RECEIVED'
 GROUP BY r.order_id, r.finished_at, l.aisle_type
 ORDER BY r.order_id, l.aisle_type
"""


async def list_delivered(db: Db, order_ids: Sequence[UUID]) -> list[DeliveredAisle]:
    """Return what came of those of the restocks that are RECEIVED, by restock and aisle; counts are final."""
    return [
        DeliveredAisle(
            row["order_id"],
            _microseconds(row["finished_at"]),
            row["aisle_type"],
            row["announced"],
            row["received"],
            row["damaged"],
            row["missing"],
            row["surplus"],
        )
        for row in await db.rows(LIST_DELIVERED, list(order_ids))
    ]


def _microseconds(at: datetime) -> int:
    return int(at.timestamp()) * MICROSECONDS + at.microsecond
