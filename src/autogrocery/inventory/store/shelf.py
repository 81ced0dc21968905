"""The one way in which units become sellable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store.holds import columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg import Statements

# Stock is locked last of all, and by SKU, as everywhere.
SHELVE = """-- stock.shelve
WITH come AS MATERIALIZED (
  SELECT s.sku, c.quantity FROM unnest($3::text[], $4::int[]) AS c (sku, quantity) JOIN inventory.stock s ON s.sku = c.sku
   ORDER BY s.sku FOR NO KEY UPDATE OF s),
entered AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta, restock_id) SELECT sku, $2::uuid, 'restock', quantity, $1::uuid FROM come)
UPDATE inventory.stock s SET on_hand = s.on_hand + c.quantity FROM come c WHERE s.sku = c.sku
"""


async def shelve(tx: Statements, restock_id: UUID, ref: UUID, units: Sequence[Line]) -> None:
    """Enter good units of a delivery, each SKU once; `ref` is the delivery, or the report by which they came, and is used once.

    To be the transaction's last statement: whoever wants the same goods waits for its commit.
    """
    if units:
        await tx.run(SHELVE, restock_id, ref, *columns(units))
