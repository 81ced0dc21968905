"""How stock comes in: a delivery is entered once, whoever sends it how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.stock import Line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.delivery import Delivered
    from autogrocery.kit.pg import Db

# Nothing is entered if the id is known or a product stands in another aisle than this delivery says.
RECEIVE = """-- restocks.receive
WITH sent AS MATERIALIZED (
  SELECT * FROM unnest($4::text[], $5::text[], $6::text[], $7::int[], $8::bigint[], $9::timestamptz[], $10::timestamptz[])
             AS s (sku, name, aisle_type, quantity, unit_cost_cents, mfd_at, expiry_at)),
misplaced AS (
  SELECT s.sku FROM sent s JOIN inventory.stock k ON k.sku = s.sku AND k.aisle_type <> s.aisle_type),
registered AS (
  INSERT INTO inventory.restocks (order_id, supplier_id, content)
  SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM misplaced)
  ON CONFLICT (order_id) DO NOTHING RETURNING order_id),
shelved AS (
  INSERT INTO inventory.stock AS k (sku, name, aisle_type, on_hand)
  SELECT s.sku, s.name, s.aisle_type, s.quantity FROM sent s, registered ORDER BY s.sku
  ON CONFLICT (sku) DO UPDATE SET on_hand = k.on_hand + excluded.on_hand, name = excluded.name
  RETURNING k.sku),
entered AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta)
  SELECT s.sku, r.order_id, 'restock', s.quantity FROM sent s JOIN shelved USING (sku), registered r),
listed AS (
  INSERT INTO inventory.restock_lines (order_id, sku, quantity, unit_cost_cents, mfd_at, expiry_at)
  SELECT r.order_id, s.sku, s.quantity, s.unit_cost_cents, s.mfd_at, s.expiry_at
    FROM sent s JOIN shelved USING (sku), registered r)
SELECT EXISTS (SELECT FROM registered) AS entered, (SELECT min(sku) FROM misplaced) AS misplaced
"""


class Entered(Struct, frozen=True):
    """Whether the delivery was entered now; `misplaced` is a SKU that stands in another aisle."""

    now: bool
    misplaced: str | None


async def receive(db: Db, order_id: UUID, supplier_id: str, content: bytes, lines: Sequence[Delivered]) -> Entered:
    """Enter a delivery whose lines name each SKU once, in order; what it brings can be sold at once."""
    row = await db.row(
        RECEIVE,
        order_id,
        supplier_id,
        content,
        [line.sku for line in lines],
        [line.name for line in lines],
        [line.aisle_type for line in lines],
        [line.quantity for line in lines],
        [line.unit_cost_cents for line in lines],
        [line.mfd_at for line in lines],
        [line.expiry_at for line in lines],
    )
    if row is None:
        raise LookupError("the delivery had no answer")
    return Entered(row["entered"], row["misplaced"])


CONTENT = """-- restocks.content
SELECT content FROM inventory.restocks WHERE order_id = $1
"""


async def content(db: Db, order_id: UUID) -> bytes | None:
    """Return the digest of a delivery entered before; None if there is none."""
    row = await db.row(CONTENT, order_id)
    return None if row is None else bytes(row["content"])


LINES = """-- restocks.lines
SELECT sku, quantity FROM inventory.restock_lines WHERE order_id = $1 ORDER BY sku
"""


async def lines(db: Db, order_id: UUID) -> tuple[Line, ...]:
    """Return what a delivery brought; nothing if it is unknown."""
    return tuple(Line(row["sku"], row["quantity"]) for row in await db.rows(LINES, order_id))
