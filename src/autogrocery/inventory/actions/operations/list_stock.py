"""List products with their stock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store.operations import products

if TYPE_CHECKING:
    from autogrocery.inventory.store.operations.products import ProductFilter, ProductStock
    from autogrocery.kit.pg.db import Db


async def list_stock(db: Db, wanted: ProductFilter, limit: int) -> list[ProductStock]:
    """Return at most `limit` products by SKU."""
    return await products.list_products(db, wanted, limit)
