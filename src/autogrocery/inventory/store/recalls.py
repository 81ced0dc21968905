"""Lots called back, and which orders got them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.store.lots import Lot, lot_of_row

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Statements

GET = """-- recalls.get
SELECT t.sku, t.lot, s.name, nullif(t.expiry_at, 'infinity') AS expiry_at, t.received, t.received_at, t.recalled_at,
       t.expired_at IS NOT NULL OR t.expiry_at <= now() AS expired,
       coalesce((SELECT h.remaining - h.took FROM inventory.lot_shares h WHERE h.sku = t.sku AND h.lot = t.lot), 0) AS on_shelf
  FROM inventory.lots t JOIN inventory.stock s ON s.sku = t.sku WHERE t.lot = $1
"""


async def get(db: Db, lot: str) -> Lot | None:
    """Return a lot as it stands; None if it is unknown."""
    row = await db.row(GET, lot)
    return None if row is None else lot_of_row(row)


MARK = """-- recalls.mark
UPDATE inventory.lots
   SET recalled_at = clock_timestamp(),
       recalled_after = (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM inventory.fences)
 WHERE sku = $1 AND lot = $2 AND recalled_at IS NULL
"""


async def mark(tx: Statements, sku: str, lot: str) -> None:
    """Take a lot off sale whose SKU's stock is locked; settled afterwards, it leaves the shelf. Twice is once."""
    await tx.run(MARK, sku, lot)


class Recipient(Struct, frozen=True):
    """An order with units of a lot. `quantity` is None if that is not certain.

    Its robot was at work when the lot was recalled, and reported later: it may have had units of it in its basket by then.
    """

    order_id: UUID
    quantity: int | None


# A recall is rare and must not cost what every pick would pay for an index by SKU: this reads all lines once.
RECIPIENTS = """-- recalls.recipients
SELECT order_id, sum(quantity)::int AS quantity FROM inventory.lot_picks WHERE sku = $1 AND lot = $2 GROUP BY order_id
UNION ALL
SELECT a.order_id, NULL
  FROM inventory.lots t
  JOIN inventory.order_lines l ON l.sku = t.sku
  JOIN inventory.assignments a ON a.order_id = l.order_id AND a.aisle = l.aisle_type
 WHERE t.sku = $1 AND t.lot = $2 AND a.fence <= t.recalled_after AND (a.closed_at IS NULL OR a.closed_at > t.recalled_at)
   AND l.picked IS DISTINCT FROM 0
   AND NOT EXISTS (SELECT FROM inventory.lot_picks p WHERE p.order_id = l.order_id AND p.sku = $1 AND p.lot = $2)
 ORDER BY quantity DESC NULLS LAST, order_id
"""


async def recipients(db: Db, sku: str, lot: str) -> tuple[Recipient, ...]:
    """Return the orders that got units of a lot, most units first, and behind them those that may have got some."""
    return tuple(Recipient(row["order_id"], row["quantity"]) for row in await db.rows(RECIPIENTS, sku, lot))
