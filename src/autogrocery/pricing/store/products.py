"""The price list."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import asyncpg
from msgspec import Struct

from autogrocery.kit.errors import Invalid
from autogrocery.kit.pg.batch import BatchStatement, text_array
from autogrocery.pricing.core.price import Offer, Product
from autogrocery.pricing.core.search_key import search_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db, Row


class SearchKey(Struct, frozen=True):
    """A product's name and the search key that is stored for it, None if there is none."""

    sku: str
    name: str
    key: str | None


# Prices of a batch of baskets, numbered by call; SKUs are looked up by primary key, whatever the table's size when the
# statement was planned.
GET_MANY = """-- products.prices
SELECT a.number, p.sku, p.name, p.aisle_type, p.unit_price_cents, p.currency
  FROM unnest($1::bigint[], $2::text[]) AS a (number, skus)
 CROSS JOIN LATERAL unnest(a.skus::text[]) AS l (sku) JOIN pricing.products p ON p.sku = l.sku
"""
GET = BatchStatement(GET_MANY, (2,))
_numbers = count()


async def get(db: Db, skus: Sequence[str]) -> dict[str, Product]:
    """Return those products of `skus` that exist, keyed by SKU, at their current prices."""
    if not skus:
        return {}
    rows = await db.run_batched(GET, "products.get", (next(_numbers), text_array(skus)))
    return {row["sku"]: _product(row) for row in rows}


# Searches by scanning in SKU order. Serves short texts: many names contain them, so the scan ends early, and they are
# too short for trigrams.
LIST = """-- products.list
SELECT sku, name, aisle_type, unit_price_cents, currency
  FROM pricing.products
 WHERE sku > $2 AND ($1 = '' OR search_key LIKE $1)
 ORDER BY sku
 LIMIT $3
"""
# Searches by trigrams first. Serves longer texts: few names may contain them, and a scan in SKU order would read them
# all.
SEARCH = """-- products.search
WITH found AS MATERIALIZED (SELECT * FROM pricing.products WHERE search_key LIKE $1)
SELECT sku, name, aisle_type, unit_price_cents, currency FROM found WHERE sku > $2 ORDER BY sku LIMIT $3
"""
TRIGRAM_CHARS = 3


async def list_after(db: Db, text: str, after_sku: str, limit: int) -> list[Product]:
    """Return up to `limit` products after a SKU whose name or SKU contains `text`, by their search keys."""
    key = search_key(text)
    escaped = key.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = f"%{escaped}%" if key else ""
    statement = SEARCH if len(key) >= TRIGRAM_CHARS else LIST
    return [_product(row) for row in await db.rows(statement, pattern, after_sku, limit)]


# Creates or changes products; empty values keep the old ones. Rows are written in SKU order, so that two writers can't
# deadlock.
WRITE = """-- products.write
WITH sent AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $8::text[])
    AS sent (sku, name, aisle_type, unit_price_cents, unit_cost_cents, quantity, search_key))
INSERT INTO pricing.products AS kept
       (sku, name, aisle_type, unit_price_cents, unit_cost_cents, quantity, currency, search_key)
SELECT sent.sku,
       COALESCE(NULLIF(sent.name, ''), known.name, sent.sku),
       COALESCE(NULLIF(sent.aisle_type, ''), known.aisle_type),
       COALESCE(sent.unit_price_cents, known.unit_price_cents),
       COALESCE(NULLIF(sent.unit_cost_cents, 0), known.unit_cost_cents, 0),
       sent.quantity,
       $7,
       CASE WHEN sent.name = '' AND known.sku IS NOT NULL THEN known.search_key ELSE sent.search_key END
  FROM sent LEFT JOIN pricing.products known ON known.sku = sent.sku
 ORDER BY sent.sku COLLATE "C"
    ON CONFLICT (sku) DO UPDATE
   SET name = EXCLUDED.name, aisle_type = EXCLUDED.aisle_type, unit_price_cents = EXCLUDED.unit_price_cents,
       unit_cost_cents = EXCLUDED.unit_cost_cents, quantity = EXCLUDED.quantity, currency = EXCLUDED.currency,
       search_key = EXCLUDED.search_key, updated_at = now()
"""


async def write(db: Db, offers: Sequence[Offer], currency: str) -> int:
    """Create or change products, all or none, and return how many; each SKU must be in `offers` once.

    Raises Invalid for a new product without an aisle or a price.
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
        return await db.run(WRITE, *columns, currency, [_key(offer.name or offer.sku, offer.sku) for offer in offers])
    except asyncpg.NotNullViolationError as error:
        raise Invalid("invalid_request", f"a new product needs a {error.column_name}") from error


LIST_SEARCH_KEYS = """-- products.list_search_keys
SELECT sku, name, search_key FROM pricing.products WHERE sku > $1 ORDER BY sku LIMIT $2
"""


async def list_search_keys(db: Db, after_sku: str, limit: int) -> list[SearchKey]:
    """Return up to `limit` products after a SKU with their search keys, by SKU."""
    rows = await db.rows(LIST_SEARCH_KEYS, after_sku, limit)
    return [SearchKey(row["sku"], row["name"], row["search_key"]) for row in rows]


# Locked in SKU order, so that it can't deadlock with WRITE. A name that has changed since it was read has its own key.
WRITE_SEARCH_KEYS = """-- products.write_search_keys
WITH sent AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS sent (sku, name, search_key)),
locked AS (
  SELECT p.sku, sent.search_key FROM sent JOIN pricing.products p ON p.sku = sent.sku AND p.name = sent.name
   ORDER BY p.sku FOR UPDATE OF p)
UPDATE pricing.products p SET search_key = locked.search_key FROM locked WHERE p.sku = locked.sku
"""


async def write_search_keys(db: Db, found: Sequence[SearchKey]) -> int:
    """Write the right search key of each product that has another or none, and return how many were written."""
    wrong = [(one.sku, one.name, key) for one in found if (key := _key(one.name, one.sku)) != one.key]
    if not wrong:
        return 0
    return await db.run(WRITE_SEARCH_KEYS, *map(list, zip(*wrong, strict=True)))


def _key(name: str, sku: str) -> str:
    return f"{search_key(name)}\n{search_key(sku)}"


def _product(row: Row) -> Product:
    return Product(row["sku"], row["name"], row["aisle_type"], row["unit_price_cents"], row["currency"])
