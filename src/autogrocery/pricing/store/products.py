"""The price list in PostgreSQL."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import asyncpg

from autogrocery.kit.errors import Invalid
from autogrocery.kit.pg.batch import Many, text_array
from autogrocery.pricing.core.price import Offer, Product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db, Row

# Looked up by primary key, whenever it was planned; baskets that are priced at the same time share it.
GET_MANY = """-- products.prices
SELECT a.number, p.sku, p.name, p.aisle_type, p.unit_price_cents, p.currency
  FROM unnest($1::bigint[], $2::text[]) AS a (number, skus)
 CROSS JOIN LATERAL unnest(a.skus::text[]) AS l (sku) JOIN pricing.products p ON p.sku = l.sku
"""
GET = Many(GET_MANY, (2,))
_numbers = count()


async def get(db: Db, skus: Sequence[str]) -> dict[str, Product]:
    """Return the products that exist among `skus`, by SKU, as the list stands now."""
    if not skus:
        return {}
    rows = await db.together(GET, "products.get", (next(_numbers), text_array(skus)))
    return {row["sku"]: _product(row) for row in rows}


# What is part of many names is soon found on the way through the SKUs, and too short for trigrams.
LIST = """-- products.list
SELECT sku, name, aisle_type, unit_price_cents, currency
  FROM pricing.products
 WHERE sku > $2 AND ($1 = '' OR name || E'\\n' || sku ILIKE $1)
 ORDER BY sku
 LIMIT $3
"""
# What may be rare is looked up by its trigrams first: on the way through the SKUs, all of them would be read.
SEARCH = """-- products.search
WITH found AS MATERIALIZED (SELECT * FROM pricing.products WHERE name || E'\\n' || sku ILIKE $1)
SELECT sku, name, aisle_type, unit_price_cents, currency FROM found WHERE sku > $2 ORDER BY sku LIMIT $3
"""
TRIGRAM = 3  # characters


async def list_after(db: Db, text: str, after_sku: str, limit: int) -> list[Product]:
    """Return up to `limit` products after a SKU whose name or SKU contains `text`, whatever its case."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = f"%{escaped}%" if text else ""
    statement = SEARCH if len(text) >= TRIGRAM else LIST
    return [_product(row) for row in await db.rows(statement, pattern, after_sku, limit)]


# Rows are written in SKU order, so that two writers can't wait for each other.
WRITE = """-- products.write
WITH told AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS told (sku, name, aisle_type, unit_price_cents, unit_cost_cents, quantity))
INSERT INTO pricing.products AS kept (sku, name, aisle_type, unit_price_cents, unit_cost_cents, quantity, currency)
SELECT told.sku,
       COALESCE(NULLIF(told.name, ''), known.name, told.sku),
       COALESCE(NULLIF(told.aisle_type, ''), known.aisle_type),
       COALESCE(told.unit_price_cents, known.unit_price_cents),
       COALESCE(NULLIF(told.unit_cost_cents, 0), known.unit_cost_cents, 0),
       told.quantity,
       $7
  FROM told LEFT JOIN pricing.products known ON known.sku = told.sku
 ORDER BY told.sku COLLATE "C"
    ON CONFLICT (sku) DO UPDATE
   SET name = EXCLUDED.name, aisle_type = EXCLUDED.aisle_type, unit_price_cents = EXCLUDED.unit_price_cents,
       unit_cost_cents = EXCLUDED.unit_cost_cents, quantity = EXCLUDED.quantity, currency = EXCLUDED.currency,
       updated_at = now()
"""


async def write(db: Db, offers: Sequence[Offer], currency: str) -> int:
    """Create or change products, all or none; each SKU stands once in `offers`. Returns how many.

    Raises Invalid if a new product comes without an aisle or a price.
    """
    columns = [
        [offer.sku for offer in offers],
        [offer.name for offer in offers],
        [offer.aisle_type for offer in offers],
        [offer.unit_price_cents for offer in offers],
        [offer.unit_cost_cents for offer in offers],
        [offer.quantity for offer in offers],
    ]
    try:
        return await db.run(WRITE, *columns, currency)
    except asyncpg.NotNullViolationError as error:
        raise Invalid("invalid_request", f"a new product needs a {error.column_name}") from error


def _product(row: Row) -> Product:
    return Product(row["sku"], row["name"], row["aisle_type"], row["unit_price_cents"], row["currency"])
