"""What lies on the shelves when the doors open, and what suppliers bring afterwards. Drawn by seed, so that a run can be repeated."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.client import Goods, Manifest
from autogrocery.lab.demand.demand import StockItem, cost_of, wanted_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from autogrocery.lab.demand.demand import Demand
    from autogrocery.lab.demand.market import AisleType, Product

HUNDRED: Final = 100
OPENING_PERCENT: Final = 34  # of what the demand will want of each article: the first third of it
MARGIN_UNITS: Final = 1
NEW_PERCENT: Final = 0.5  # of the articles come only with a truck, and are priced by what they cost
CASE_UNITS: Final = 4  # suppliers bring whole cases
PRICE_PERCENT: Final = 130  # of the cost, as pricing adds its margin
MOST_LINES: Final = 200  # of one manifest: well within a body of 64 KiB


class Supplier(Struct, frozen=True):
    """Who fills one aisle, and how long such goods keep when they are fresh."""

    supplier_id: str
    name: str
    keeps_days: int


SUPPLIERS: Final[dict[AisleType, Supplier]] = {
    "bread": Supplier("dawn-bakery", "Dawn Bakery", 5),
    "dairy": Supplier("green-hill-dairy", "Green Hill Dairy", 14),
    "meat": Supplier("oak-street-butchers", "Oak Street Butchers", 7),
    "produce": Supplier("river-farm", "River Farm", 8),
    "party": Supplier("grand-wholesale", "Grand Wholesale", 180),
}


def opening_stock(demand: Demand, seed: int) -> list[StockItem]:
    """Return what is there at first: a third of what will be wanted of each article and a little more, new articles not at all."""
    wanted = wanted_of(demand)
    return [
        StockItem(
            product.sku,
            product.name,
            product.aisle_type,
            product.unit_price_cents,
            cost_of(product),
            -(-wanted[product.sku] * OPENING_PERCENT // HUNDRED) + MARGIN_UNITS,
        )
        for product in demand.products
        if not is_new(product, seed)
    ]


def is_new(product: Product, seed: int) -> bool:
    """Say whether a truck has to bring an article before anybody can buy it."""
    return random.Random(f"new/{seed}/{product.sku}").uniform(0, HUNDRED) < NEW_PERCENT


def in_cases(units: int) -> int:
    """Round up to whole cases."""
    return -(-units // CASE_UNITS) * CASE_UNITS


def manifest_of(
    supplier: Supplier, manifest_no: str, units: Mapping[str, int], products: Mapping[str, Product], today: date
) -> Manifest:
    """Write a manifest for so many units of each article, each one lot: made lately, to be sold before it expires."""
    goods = []
    for sku, quantity in sorted(units.items()):
        product, draw = products[sku], random.Random(f"lot/{manifest_no}/{sku}")
        mfd_date = today - timedelta(days=draw.randrange(3))
        keeps = timedelta(days=2 + draw.randrange(supplier.keeps_days))
        cost_cents = max(1, product.unit_price_cents * HUNDRED // PRICE_PERCENT)
        goods.append(Goods(sku, product.name, product.aisle_type, quantity, mfd_date, today + keeps, cost_cents))
    return Manifest(supplier.supplier_id, supplier.name, goods, manifest_no)
