"""Who buys what, and when: real baskets where the `replay` extra is installed, synthetic ones of the same shape elsewhere."""

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from autogrocery.lab.demand import completejourney, synthetic
from autogrocery.lab.demand.market import AisleType, Basket, Market, Product, choose

if TYPE_CHECKING:
    from pathlib import Path

STOCK_COLUMNS: Final = ("sku", "name", "aisle_type", "unit_price_cents", "unit_cost_cents", "quantity")
COST_PERCENT: Final = 70  # a grocer's cost of goods is roughly seven tenths of the shelf price
SPARE_VISITS: Final = 3  # the shelf outlasts three runs of the same demand
SPARE_UNITS: Final = 20


class Demand(Struct, frozen=True):
    """Baskets in the order of their times, and exactly the products they name; `source` says where they come from."""

    source: str
    products: list[Product]
    baskets: list[Basket]


class StockItem(Struct, frozen=True):
    """One row of a stock file."""

    sku: str
    name: str
    aisle_type: AisleType
    unit_price_cents: int
    unit_cost_cents: int
    quantity: int


def load_demand(orders: int = 500, seed: int = 1, cache_dir: Path | None = None, *, real: bool = True) -> Demand:
    """Return `orders` baskets and their products, the same for the same seed.

    Real ones are prepared once (about 2 s) and kept as one compact file in `cache_dir`; without the data set, or with
    `real=False`, they are drawn by a generator of the same shape. Raises ValueError for fewer than one order.
    """
    market: Market | None = completejourney.open_market(cache_dir) if real else None
    if market is None:
        market = synthetic.make_market(seed)
    baskets = choose(market, orders, seed)
    wanted = {line.sku for basket in baskets for line in basket.lines}
    return Demand(market.source, [product for product in market.products if product.sku in wanted], baskets)


def cost_of(product: Product) -> int:
    """What the store pays for one, in cents."""
    return max(1, product.unit_price_cents * COST_PERCENT // 100)


def wanted_of(demand: Demand) -> Counter[str]:
    """How many units of each SKU all baskets together want."""
    wanted: Counter[str] = Counter()
    for basket in demand.baskets:
        for line in basket.lines:
            wanted[line.sku] += line.quantity
    return wanted


def stock_for(demand: Demand) -> list[StockItem]:
    """What must lie on the shelves so that no basket of this demand finds them empty."""
    wanted = wanted_of(demand)
    return [
        StockItem(
            product.sku,
            product.name,
            product.aisle_type,
            product.unit_price_cents,
            cost_of(product),
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


def read_stock(path: Path) -> list[StockItem]:
    """Read a stock file as `write_stock` makes it; raises ValueError naming the line that is wrong."""
    with path.open(encoding="utf-8", newline="") as file:
        items = []
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                items.append(msgspec.convert(row, StockItem, strict=False))
            except msgspec.ValidationError as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from None
    return items
