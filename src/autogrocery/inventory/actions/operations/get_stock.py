"""Return a product's stock with its lots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.inventory.store import lots
from autogrocery.inventory.store.operations import products

if TYPE_CHECKING:
    from autogrocery.inventory.store.lots import Lot
    from autogrocery.inventory.store.operations.products import ProductStock
    from autogrocery.kit.pg.db import Db

MAX_LOTS: Final = 200


class StockWithLots(Struct, frozen=True):
    """A product, and its lots on the shelf, the earliest expiry first."""

    product: ProductStock
    lots: tuple[Lot, ...]


async def get_stock(db: Db, sku: str) -> StockWithLots | None:
    """Return a product with at most MAX_LOTS lots; None if it is unknown."""
    product = await products.get(db, sku)
    if product is None:
        return None
    return StockWithLots(product, await lots.list_on_shelf(db, sku=sku, expiring_within=None, limit=MAX_LOTS))
