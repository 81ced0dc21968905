from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.errors import Invalid
from autogrocery.pricing.core.price import MAX_NAME_CHARS, ProductPage
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50
MAX_CURSOR_CHARS: Final = 200  # as docs/CONTRACT.md#grpc allows; any text is a place in the list


async def list_products(db: Db, query: str, cursor: str, limit: int) -> ProductPage:
    """Return a page of the products whose name or SKU contains `query`, by SKU, after the SKU `cursor`.

    `limit` is 1..200, 0 means 50. Raises Invalid for any other limit, and for a query or cursor that is too long.
    """
    if not 0 <= limit <= MAX_LIMIT:
        raise Invalid("invalid_request", f"limit is 1..{MAX_LIMIT}")
    if len(query) > MAX_NAME_CHARS or len(cursor) > MAX_CURSOR_CHARS or "\0" in query + cursor:
        raise Invalid("invalid_request", "query or cursor is too long, or has a NUL character")
    limit = limit or DEFAULT_LIMIT
    found = await products.list_after(db, query.strip(), cursor, limit + 1)
    page = tuple(found[:limit])
    return ProductPage(page, page[-1].sku if len(found) > limit else "")
