from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

BATCH: Final = 1_000


async def refresh_search_keys(db: Db) -> int:
    """Write the search key of every product that has none or another, and return how many had.

    Such rows come from a migration, from a version that wrote no key, or from one with an older Unicode.
    """
    changed, after_sku = 0, ""
    while True:
        page = await products.list_search_keys(db, after_sku, BATCH)
        changed += await products.write_search_keys(db, page)
        if len(page) < BATCH:
            return changed
        after_sku = page[-1].sku
