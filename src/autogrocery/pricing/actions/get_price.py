from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.pricing.core.price import Product, is_sku
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


async def get_price(db: Db, sku: str) -> Product | None:
    """Return one product with its price, or None if the price list does not have it."""
    return (await products.get(db, [sku])).get(sku) if is_sku(sku) else None
