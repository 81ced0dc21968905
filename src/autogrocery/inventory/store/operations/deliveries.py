"""Deliveries with the units announced and received, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TC003 - read as a type of a field

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.kit.pg.db import Db


class DeliveryView(Struct, frozen=True):
    """A delivery: units announced and received, `damaged` ones among these; putaways are one an aisle."""

    order_id: UUID
    supplier_id: str
    state: str
    entered_at: datetime
    reported_at: datetime | None
    lines: int
    units: int
    received: int
    damaged: int
    putaways: int
    putaways_done: int


# `received` is null for deliveries of before putaways, whose goods stood on their shelves when they were entered.
LIST = """-- operations.deliveries
WITH page AS MATERIALIZED (
  SELECT order_id, supplier_id, state, received_at AS entered_at, reported_at FROM inventory.restocks
   WHERE ($1 = '' OR state = $1) AND ($2 = '' OR supplier_id = $2)
     AND ($3::uuid IS NULL OR (received_at, order_id) <
          (SELECT c.received_at, c.order_id FROM inventory.restocks c WHERE c.order_id = $3))
   ORDER BY received_at DESC, order_id DESC LIMIT $4)
SELECT p.*, l.*, w.*
  FROM page p
 CROSS JOIN LATERAL (
   SELECT count(*)::int AS lines, coalesce(sum(quantity), 0)::bigint AS units,
          coalesce(sum(coalesce(received, CASE WHEN p.state = 'RECEIVED' THEN quantity ELSE 0 END)), 0)::bigint
            AS received,
          coalesce(sum(damaged), 0)::bigint AS damaged
     FROM inventory.restock_lines WHERE order_id = p.order_id) l
 CROSS JOIN LATERAL (
   SELECT count(*)::int AS putaways, (count(*) FILTER (WHERE state = 'DONE'))::int AS putaways_done
     FROM inventory.putaways WHERE order_id = p.order_id) w
 ORDER BY p.entered_at DESC, p.order_id DESC
"""


async def list_deliveries(db: Db, state: str, supplier_id: str, cursor: UUID | None, limit: int) -> list[DeliveryView]:
    """Return at most `limit` deliveries, newest first, those before the delivery `cursor`; "" means any."""
    return [DeliveryView(*row.values()) for row in await db.rows(LIST, state, supplier_id, cursor, limit)]
