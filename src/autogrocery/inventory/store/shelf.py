"""The one way in which units become sellable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.lots import lot_of
from autogrocery.inventory.store import lots
from autogrocery.inventory.store.holds import columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg.db import Statements

# Stock is locked before, by a statement of its own: an UPDATE that saw the rows as they were before the wait would go to the
# newest version by way of older ones, meet there who waits behind it, and the two would wait for each other.
# What a delivery brings of a SKU is a lot, in however many parts it is put away; units drawn before came from earlier lots,
# even if this one expires sooner: unless that is settled, this does nothing.
# A lot that has been recalled, or has expired, by the time it gets here is not for sale.
SHELVE = """-- stock.shelve
WITH found AS MATERIALIZED (
  SELECT s.sku, s.drawn = s.settled AS is_settled, c.quantity, c.lot
    FROM unnest($3::text[], $4::int[], $5::text[]) AS c (sku, quantity, lot) JOIN inventory.stock s ON s.sku = c.sku),
come AS MATERIALIZED (
  SELECT l.sku, l.quantity, l.lot, coalesce(r.expiry_at, 'infinity') AS expiry_at
    FROM found l JOIN inventory.restock_lines r ON r.sku = l.sku
   WHERE r.order_id = $1 AND (SELECT bool_and(is_settled) FROM found)),
entered AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta, restock_id) SELECT sku, $2::uuid, 'restock', quantity, $1::uuid FROM come),
lotted AS (
  INSERT INTO inventory.lots AS t (sku, lot, restock_id, expiry_at, received, remaining)
  SELECT sku, lot, $1, expiry_at, quantity, quantity FROM come
  ON CONFLICT (sku, lot) DO UPDATE SET received = t.received + excluded.received, remaining = t.remaining + excluded.remaining
  RETURNING t.sku, CASE WHEN t.recalled_at IS NULL THEN t.expiry_at ELSE '-infinity' END AS sellable_until)
UPDATE inventory.stock s
   SET on_hand = s.on_hand + c.quantity, sellable_until = least(s.sellable_until, l.sellable_until)
  FROM come c JOIN lotted l ON l.sku = c.sku WHERE s.sku = c.sku
"""


async def shelve(tx: Statements, restock_id: UUID, ref: UUID, units: Sequence[Line]) -> None:
    """Enter good units of a delivery, each SKU once; `ref` is the delivery, or the report by which they came, and is used once.

    To be the transaction's last words: stock is locked last of all, and whoever wants the same goods waits for the commit.
    """
    if not units:
        return
    skus, quantities = columns(units)
    coming = (restock_id, ref, skus, quantities, [lot_of(restock_id, sku) for sku in skus])
    await lots.lock(tx, skus)
    if not await tx.run(SHELVE, *coming):
        await lots.settle(tx, skus)
        await tx.run(SHELVE, *coming)
