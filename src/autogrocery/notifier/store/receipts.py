"""The outbox of receipts: what a claimed row says, together with its order, lines and address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.notifier.core.receipt import CompletedOrder, ReceiptLine

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Row

TABLE: Final = "receipt_outbox"
KEY: Final = ("order_id",)
KEY_TYPES: Final = ("uuid",)

# One row for each claimed one: the kit's claim stands above it, and its planner settings choose the primary keys.
READ: Final = """
SELECT c.*, d.email, o.currency, o.quoted_total_cents, o.total_cents, o.outcome,
       coalesce(o.confirmed_at, o.created_at) AS ordered_at, o.finished_at,
       l.skus, l.names, l.quantities, l.picked, l.prices
  FROM claimed c
  JOIN grocery_orders o ON o.order_id = c.order_id
  JOIN smart_devices d ON d.id = o.user_id
 CROSS JOIN LATERAL (
   SELECT array_agg(l.sku ORDER BY l.line_no) AS skus, array_agg(l.name ORDER BY l.line_no) AS names,
          array_agg(l.quantity ORDER BY l.line_no) AS quantities,
          array_agg(coalesce(s.picked, l.quantity) ORDER BY l.line_no) AS picked,
          array_agg(l.unit_price_cents ORDER BY l.line_no) AS prices
     FROM order_lines l LEFT JOIN short_picks s ON s.order_id = l.order_id AND s.line_no = l.line_no
    WHERE l.order_id = c.order_id) l
"""


def completed_order(row: Row) -> CompletedOrder:
    """Return the order of a claimed row."""
    columns = (row["skus"] or (), row["names"] or (), row["quantities"] or (), row["picked"] or (), row["prices"] or ())
    return CompletedOrder(
        row["order_id"],
        row["currency"],
        row["quoted_total_cents"],
        row["total_cents"],
        row["outcome"] == "PARTIAL",
        row["ordered_at"],
        row["finished_at"],
        tuple(map(ReceiptLine, *columns)),
    )
