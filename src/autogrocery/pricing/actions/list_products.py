from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.errors import Invalid
from autogrocery.pricing.core.price import MAX_NAME_CHARS, MAX_SKU_CHARS, Product
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50


async def list_products(db: Db, query: str, cursor: str, limit: int) -> tuple[list[Product], str]:
    """Return a page of the products whose name or SKU contains `query`, by SKU, and the next page's cursor ("": none).

    `limit` is 1..200, 0 means 50. Raises Invalid for any other, and for a query or cursor that is too long.
    """
    if not 0 <= limit <= MAX_LIMIT:
        raise Invalid("invalid_request", f"limit is 1..{MAX_LIMIT}")
    if len(query) > MAX_NAME_CHARS or len(cursor) > MAX_SKU_CHARS or "\0" in query + cursor:
        raise Invalid("invalid_request", "query or cursor is nothing a product could match")
    limit = limit or DEFAULT_LIMIT
    found = await products.list_after(db, query.strip(), cursor, limit + 1)
    page = found[:limit]
    return page, page[-1].sku if len(found) > limit else ""
