"""Demand: real baskets if the extra `replay` is installed, synthetic ones of the same shape otherwise."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.demand import completejourney, synthetic
from autogrocery.lab.demand.baskets import AisleType, Basket, BasketSource, Product, choose_baskets

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

STOCK_COLUMNS: Final = ("sku", "name", "aisle_type", "unit_price_cents", "unit_cost_cents", "quantity")
COST_PERCENT: Final = 70  # cost of goods is roughly 70 % of a grocer's shelf price
SPARE_VISITS: Final = 3  # stock for three runs of the same demand
SPARE_UNITS: Final = 20


class Demand(Struct, frozen=True):
    """Baskets in the order of their times, and exactly the products in them; `source` names their origin."""

    source: str
    products: list[Product]
    baskets: list[Basket]


class StockItem(Struct, frozen=True):
    """One row of a stock file; goods without a date are of today and keep for a year."""

    sku: str
    name: str
    aisle_type: AisleType
    unit_price_cents: int
    unit_cost_cents: int
    quantity: int
    mfd_date: date | None = None
    expiry_date: date | None = None


def load_demand(orders: int = 500, seed: int = 1, cache_dir: Path | None = None, *, real: bool = True) -> Demand:
    """Return `orders` baskets and their products, the same for the same seed.

    Real baskets are prepared once (about 2 s) and cached as one file in `cache_dir`; without the data set, or with
    `real=False`, they are generated. Raises ValueError for fewer than one order.
    """
    source: BasketSource | None = completejourney.open_source(cache_dir) if real else None
    if source is None:
        source = synthetic.make_source(seed)
    baskets = choose_baskets(source, orders, seed)
    wanted = {line.sku for basket in baskets for line in basket.lines}
    return Demand(source.name, [product for product in source.products if product.sku in wanted], baskets)


def unit_cost_cents_of(product: Product) -> int:
    """Return what the store pays for one unit, in cents."""
    return max(1, product.unit_price_cents * COST_PERCENT // 100)


def units_wanted(demand: Demand) -> Counter[str]:
    """Return the units of each SKU in all baskets together."""
    wanted: Counter[str] = Counter()
    for basket in demand.baskets:
        for line in basket.lines:
            wanted[line.sku] += line.quantity
    return wanted


def stock_for(demand: Demand) -> list[StockItem]:
    """Return the stock with which no basket of this demand finds a product out of stock."""
    wanted = units_wanted(demand)
    return [
        StockItem(
            product.sku,
            product.name,
            product.aisle_type,
            product.unit_price_cents,
            unit_cost_cents_of(product),
            wanted[product.sku] * SPARE_VISITS + SPARE_UNITS,
        )
        for product in demand.products
    ]


def write_stock(stock: list[StockItem], path: Path) -> None:
    """Write a stock file: CSV with a header line, UTF-8."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(STOCK_COLUMNS)
        rows.writerows([getattr(item, column) for column in STOCK_COLUMNS] for item in stock)
