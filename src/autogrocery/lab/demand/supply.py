"""The stock at the start of a run, and what suppliers bring later; drawn by seed, so that a run can be repeated."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.client import Goods, Manifest
from autogrocery.lab.demand.demand import StockItem, unit_cost_cents_of, units_wanted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from autogrocery.lab.demand.baskets import AisleType, Product
    from autogrocery.lab.demand.demand import Demand

PERCENT: Final = 100
OPENING_PERCENT: Final = 34  # of each product's demand: about the first third of it
MARGIN_UNITS: Final = 1
NEW_PERCENT: Final = 0.5  # of the products arrive only by truck, and are priced by their cost
CASE_UNITS: Final = 4  # suppliers deliver whole cases
PRICE_PERCENT: Final = 130  # of the cost, as pricing adds its margin
MAX_LINES_OF_MANIFEST: Final = 200  # of one manifest: well within a body of 64 KiB


class Supplier(Struct, frozen=True):
    """The supplier of one aisle, and the longest shelf life of its fresh goods in days."""

    supplier_id: str
    name: str
    shelf_life_days: int


SUPPLIERS: Final[dict[AisleType, Supplier]] = {
    "bread": Supplier("dawn-bakery", "Dawn Bakery", 5),
    "dairy": Supplier("green-hill-dairy", "Green Hill Dairy", 14),
    "meat": Supplier("oak-street-butchers", "Oak Street Butchers", 7),
    "produce": Supplier("river-farm", "River Farm", 8),
    "party": Supplier("grand-wholesale", "Grand Wholesale", 180),
}


def opening_stock(demand: Demand, seed: int) -> list[StockItem]:
    """Return the opening stock: OPENING_PERCENT of each product's demand and a little more, no new products."""
    wanted = units_wanted(demand)
    return [
        StockItem(
            product.sku,
            product.name,
            product.aisle_type,
            product.unit_price_cents,
            unit_cost_cents_of(product),
            -(-wanted[product.sku] * OPENING_PERCENT // PERCENT) + MARGIN_UNITS,
        )
        for product in demand.products
        if not is_new(product, seed)
    ]


def is_new(product: Product, seed: int) -> bool:
    """Return whether a product is not in stock before a truck brings it."""
    return random.Random(f"new/{seed}/{product.sku}").uniform(0, PERCENT) < NEW_PERCENT


def in_cases(units: int) -> int:
    """Return `units` rounded up to whole cases."""
    return -(-units // CASE_UNITS) * CASE_UNITS


def manifest_of(
    supplier: Supplier, manifest_no: str, units: Mapping[str, int], products: Mapping[str, Product], today: date
) -> Manifest:
    """Return a manifest of these units, one lot a line: made in the last days, with an expiry date drawn by seed."""
    goods = []
    for sku, quantity in sorted(units.items()):
        product, rng = products[sku], random.Random(f"lot/{manifest_no}/{sku}")
        mfd_date = today - timedelta(days=rng.randrange(3))
        shelf_life = timedelta(days=2 + rng.randrange(supplier.shelf_life_days))
        cost_cents = max(1, product.unit_price_cents * PERCENT // PRICE_PERCENT)
        goods.append(Goods(sku, product.name, product.aisle_type, quantity, mfd_date, today + shelf_life, cost_cents))
    return Manifest(supplier.supplier_id, supplier.name, goods, manifest_no)
