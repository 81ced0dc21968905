"""Shelving: the only statement that puts units on sale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.lots import lot_code
from autogrocery.inventory.store import lots
from autogrocery.inventory.store.holds import columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg.db import DbConnection

# Adds good units of a restock order to stock, ledger and lots. Changes nothing unless all draws of its SKUs are
# recorded: units drawn before came from earlier lots, even if this lot expires sooner.
# - A statement of its own locks the stock before. Without it, this UPDATE could wait on an old version of a row,
#   follow it to the newest one, and there deadlock with a transaction that waits behind it.
# - The units of a SKU in one restock order are one lot, in however many parts they are put away.
# - A lot that was recalled or has expired meanwhile is not put on sale.
SHELVE = """-- stock.shelve
WITH found AS MATERIALIZED (
  SELECT s.sku, s.drawn = s.settled AS is_settled, c.quantity, c.lot
    FROM unnest($3::text[], $4::int[], $5::text[]) AS c (sku, quantity, lot) JOIN inventory.stock s ON s.sku = c.sku),
come AS MATERIALIZED (
  SELECT l.sku, l.quantity, l.lot, coalesce(r.expiry_at, 'infinity') AS expiry_at
    FROM found l JOIN inventory.restock_lines r ON r.sku = l.sku
   WHERE r.order_id = $1 AND (SELECT bool_and(is_settled) FROM found)),
entered AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta, restock_id)
  SELECT sku, $2::uuid, 'restock', quantity, $1::uuid FROM come),
lotted AS (
  INSERT INTO inventory.lots AS t (sku, lot, restock_id, expiry_at, received, remaining)
  SELECT sku, lot, $1, expiry_at, quantity, quantity FROM come
  ON CONFLICT (sku, lot)
  DO UPDATE SET received = t.received + excluded.received, remaining = t.remaining + excluded.remaining
  RETURNING t.sku, CASE WHEN t.recalled_at IS NULL THEN t.expiry_at ELSE '-infinity' END AS sellable_until)
UPDATE inventory.stock s
   SET on_hand = s.on_hand + c.quantity, sellable_until = least(s.sellable_until, l.sellable_until)
  FROM come c JOIN lotted l ON l.sku = c.sku WHERE s.sku = c.sku
"""


async def shelve(tx: DbConnection, restock_id: UUID, ref: UUID, units: Sequence[Line]) -> None:
    """Put good units of a restock order on sale, each SKU once. `ref` is the id of the restock order or the report.

    A `ref` is used once. Must be the last call of the transaction: it locks stock, which must be locked last and
    briefly.
    """
    if not units:
        return
    skus, quantities = columns(units)
    values = (restock_id, ref, skus, quantities, [lot_code(restock_id, sku) for sku in skus])
    await lots.lock(tx, skus)
    if not await tx.run(SHELVE, *values):
        await lots.write_off(tx, skus)
        await tx.run(SHELVE, *values)
