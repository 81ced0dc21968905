"""Recalled lots, and the orders that got units of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.store import lots
from autogrocery.inventory.store.lots import Lot, LotRemoval, read_lot

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, DbConnection

# One lot, with its units on the shelf.
GET = """-- recalls.get
SELECT t.sku, t.lot, s.name, nullif(t.expiry_at, 'infinity') AS expiry_at, t.received, t.received_at, t.recalled_at,
       t.expired_at IS NOT NULL OR t.expiry_at <= now() AS expired,
       coalesce((SELECT h.remaining - h.took FROM inventory.lot_shares h WHERE h.sku = t.sku AND h.lot = t.lot), 0)
         AS on_shelf
  FROM inventory.lots t JOIN inventory.stock s ON s.sku = t.sku WHERE t.lot = $1
"""


async def get(db: Db, lot: str) -> Lot | None:
    """Return a lot; None if it is unknown."""
    row = await db.row(GET, lot)
    return None if row is None else read_lot(row)


# Marks a lot as recalled, with the newest fence: leases up to it were granted before the recall.
MARK = """-- recalls.mark
UPDATE inventory.lots
   SET recalled_at = clock_timestamp(),
       recalled_after = (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM inventory.fences)
 WHERE sku = $1 AND lot = $2 AND recalled_at IS NULL
"""


async def recall(db: Db, sku: str, lot: str) -> tuple[LotRemoval, ...]:
    """Take a lot off sale and write off its free units, in one transaction; return what was removed."""
    async with db.transaction() as tx:
        await lots.lock(tx, [sku])
        removed = await lots.write_off(tx, [sku])  # records which units were drawn from the lot before the recall
        await mark(tx, sku, lot)
        return removed + await lots.write_off(tx, [sku])


async def mark(tx: DbConnection, sku: str, lot: str) -> None:
    """Take a lot off sale; a second call changes nothing.

    The stock of its SKU must be locked. The write-off that follows removes its units.
    """
    await tx.run(MARK, sku, lot)


class Recipient(Struct, frozen=True):
    """An order with units of a lot; `quantity` is None if the order may have some.

    That is so if its robot had the lease when the lot was recalled and reported later: it may have picked units before.
    """

    order_id: UUID
    quantity: int | None


# The orders that got units of a lot, with how many; then, without a quantity, those whose robot was at work at the
# recall. This reads all order lines once: recalls are rare, and an index by SKU would cost every pick.
RECIPIENTS = """-- recalls.recipients
SELECT order_id, sum(quantity)::int AS quantity FROM inventory.lot_picks WHERE sku = $1 AND lot = $2 GROUP BY order_id
UNION ALL
SELECT a.order_id, NULL
  FROM inventory.lots t
  JOIN inventory.order_lines l ON l.sku = t.sku
  JOIN inventory.assignments a ON a.order_id = l.order_id AND a.aisle = l.aisle_type
 WHERE t.sku = $1 AND t.lot = $2 AND a.fence <= t.recalled_after
   AND (a.closed_at IS NULL OR a.closed_at > t.recalled_at) AND l.picked IS DISTINCT FROM 0
   AND NOT EXISTS (SELECT FROM inventory.lot_picks p WHERE p.order_id = l.order_id AND p.sku = $1 AND p.lot = $2)
 ORDER BY quantity DESC NULLS LAST, order_id
"""


async def list_recipients(db: Db, sku: str, lot: str) -> tuple[Recipient, ...]:
    """Return the orders that got units of a lot, most units first, then those that may have got some."""
    return tuple(Recipient(row["order_id"], row["quantity"]) for row in await db.rows(RECIPIENTS, sku, lot))
