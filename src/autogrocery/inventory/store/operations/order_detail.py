"""One order whole: its register entry, assignments, lots and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID  # noqa: TC003 - read as a type of a field

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.kit.pg.db import Db


class AssignmentView(Struct, frozen=True):
    """A robot's share; `robot_id` is that of the robot which has or had its lease, else of the one that was chosen."""

    assignment_id: UUID
    robot_id: str
    robot_class: str
    aisle: str
    state: str
    created_at: datetime
    lease_until: datetime | None
    closed_at: datetime | None


class LotUnits(Struct, frozen=True):
    """Units of the order that came from one lot; `expiry_at` None if it never expires."""

    sku: str
    lot: str
    quantity: int
    expiry_at: datetime | None


class WebhookView(Struct, frozen=True):
    """A webhook to the gateway and its attempts."""

    webhook_id: str
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    done_at: datetime | None
    dead_at: datetime | None
    last_error: str | None


class OrderDetail(Struct, frozen=True):
    """An order as the register has it, with everything that belongs to it."""

    state: str
    created_at: datetime
    expires_at: datetime | None
    finished_at: datetime | None
    assignments: tuple[AssignmentView, ...]
    lots: tuple[LotUnits, ...]
    webhooks: tuple[WebhookView, ...]


ORDER = """-- operations.order
SELECT state, created_at, expires_at, finished_at FROM inventory.orders WHERE order_id = $1
"""
ASSIGNMENTS = """-- operations.assignments
SELECT assignment_id, coalesce(holder, robot_id), robot_class, aisle, state, created_at,
       CASE WHEN isfinite(lease_until) THEN lease_until END, closed_at
  FROM inventory.assignments WHERE order_id = $1 ORDER BY aisle
"""
# From which lots the order's units came, as the view lot_picks says, by the order's SKUs instead of over all lines.
LOTS = """-- operations.order_lots
SELECT l.sku, d.lot,
       (least(l.drawn_from + l.picked, d.drawn_until) - greatest(l.drawn_from, d.drawn_from))::int,
       nullif(t.expiry_at, 'infinity')
  FROM inventory.order_lines l
 CROSS JOIN LATERAL (
   SELECT lot, drawn_from, drawn_until FROM inventory.lot_draws w
    WHERE w.sku = l.sku AND w.drawn_from < l.drawn_from + l.picked AND w.drawn_until > l.drawn_from
   UNION ALL
   SELECT lot, drawn_from, drawn_from + took FROM inventory.lot_shares h
    WHERE h.sku = l.sku AND h.took > 0 AND h.drawn_from < l.drawn_from + l.picked
      AND h.drawn_from + h.took > l.drawn_from) d
  JOIN inventory.lots t ON t.sku = l.sku AND t.lot = d.lot
 WHERE l.order_id = $1 AND l.picked > 0 ORDER BY l.sku, d.drawn_from
"""
WEBHOOKS = """-- operations.order_webhooks
SELECT webhook_id, created_at, attempts, CASE WHEN done_at IS NULL AND dead_at IS NULL THEN next_attempt_at END,
       done_at, dead_at, last_error
  FROM inventory.webhook_outbox WHERE order_id = $1 ORDER BY created_at, webhook_id LIMIT 20
"""


async def get(db: Db, order_id: UUID) -> OrderDetail | None:
    """Return an order; None if it is unknown. The parts are read one after the other and may differ by a moment."""
    async with db.connection() as connection:
        order = await connection.row(ORDER, order_id)
        if order is None:
            return None
        return OrderDetail(
            *order.values(),
            assignments=tuple(AssignmentView(*row.values()) for row in await connection.rows(ASSIGNMENTS, order_id)),
            lots=tuple(LotUnits(*row.values()) for row in await connection.rows(LOTS, order_id)),
            webhooks=tuple(WebhookView(*row.values()) for row in await connection.rows(WEBHOOKS, order_id)),
        )
