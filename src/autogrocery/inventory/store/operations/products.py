"""Products with their units on the shelf, promised and on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.kit.pg.db import Db, Row


class ProductFilter(Struct, frozen=True):
    """Which products: `query` begins a SKU or is part of a name, `at_most` bounds the units on hand; after `cursor`."""

    query: str
    aisle: str
    at_most: int | None
    cursor: str


class ProductStock(Struct, frozen=True):
    """A product's units; `next_expiry` is the earliest of its lots on sale, None if none of them expires."""

    sku: str
    name: str
    aisle_type: str
    on_hand: int
    held: int
    allocated: int
    incoming: int
    lots: int
    next_expiry: datetime | None


# What stands beside each product `p`: the units that open putaways have yet to bring, and its lots on the shelf.
BESIDE = """
       coalesce((SELECT sum(greatest(l.quantity - coalesce(l.received, 0), 0))
                   FROM inventory.putaways w JOIN inventory.restock_lines l ON l.order_id = w.order_id AND l.sku = p.sku
                  WHERE w.state <> 'DONE' AND w.aisle = p.aisle_type), 0)::bigint AS incoming,
       t.lots, nullif(t.next_expiry, 'infinity') AS next_expiry
"""
LOTS = """
 CROSS JOIN LATERAL (
   SELECT count(*)::int AS lots, min(h.expiry_at) FILTER (WHERE h.on_sale) AS next_expiry
     FROM inventory.lot_shares h WHERE h.sku = p.sku AND h.remaining > h.took) t
"""
LIST = f"""-- operations.products
WITH p AS MATERIALIZED (
  SELECT sku, name, aisle_type, on_hand, held, allocated FROM inventory.stock
   WHERE sku > $1 AND ($2 = '' OR starts_with(sku, $2) OR position(lower($2) IN lower(name)) > 0)
     AND ($3 = '' OR aisle_type = $3) AND ($4::bigint IS NULL OR on_hand <= $4)
   ORDER BY sku LIMIT $5)
SELECT p.*, {BESIDE} FROM p {LOTS} ORDER BY p.sku
"""  # noqa: S608 - constants
GET = f"""-- operations.product
SELECT p.sku, p.name, p.aisle_type, p.on_hand, p.held, p.allocated, {BESIDE}
  FROM inventory.stock p {LOTS} WHERE p.sku = $1
"""  # noqa: S608


async def list_products(db: Db, wanted: ProductFilter, limit: int) -> list[ProductStock]:
    """Return at most `limit` products by SKU."""
    rows = await db.rows(LIST, wanted.cursor, wanted.query, wanted.aisle, wanted.at_most, limit)
    return [_read(row) for row in rows]


async def get(db: Db, sku: str) -> ProductStock | None:
    """Return a product; None if it is unknown."""
    row = await db.row(GET, sku)
    return None if row is None else _read(row)


def _read(row: Row) -> ProductStock:
    return ProductStock(**{field: row[field] for field in ProductStock.__struct_fields__})
