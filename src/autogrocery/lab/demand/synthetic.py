"""Synthetic baskets, drawn by seed in the shape of the real ones, where the extra `replay` is not installed."""

from __future__ import annotations

import random
from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import Final

from autogrocery.lab.demand.baskets import (
    MAX_LINES,
    VISITS_PER_HOUSEHOLD,
    WINDOW_S,
    AisleType,
    Basket,
    BasketSource,
    Line,
    Product,
)

ARTICLES: Final = 20_000
HOUSEHOLDS: Final = 2_000
# Popularity of the k-th product is 1 / (k + shift) ** slope, fitted to the measured 27 % of all lines in the top 500.
POPULARITY_SLOPE: Final = 0.7
POPULARITY_SHIFT: Final = 4
# (share of baskets, lines): the measured quantiles, interpolated linearly.
LINE_COUNTS: Final = ((0.0, 1), (0.1, 1), (0.25, 2), (0.5, 6), (0.75, 13), (0.9, 26), (0.99, 60), (1.0, MAX_LINES))
# (share of products, cents): the measured quantiles, interpolated linearly.
PRICES_CENTS: Final = (
    (0.0, 20),
    (0.1, 79),
    (0.25, 129),
    (0.5, 219),
    (0.75, 349),
    (0.9, 516),
    (0.99, 1299),
    (1.0, 3000),
)
QUANTITIES: Final = ((1, 2, 3, 4, 5, 6, 8, 10), (793, 151, 27, 17, 4, 4, 2, 2))
# Visits by hour (UTC) in the real data: evenings in the shops' time zone are nights in UTC.
HOURS: Final = (8, 5, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 10, 10, 10, 10)
AISLE_SHARES: Final[tuple[tuple[AisleType, int, tuple[str, ...]], ...]] = (
    ("bread", 23, ("Rolls", "Rye bread", "Toast", "Pasta", "Cereal", "Flour", "Crackers", "Pancake mix")),
    ("dairy", 24, ("Milk", "Yogurt", "Butter", "Cheese", "Eggs", "Ice cream", "Frozen pizza", "Cream")),
    ("meat", 12, ("Ground beef", "Chicken", "Ham", "Bacon", "Salmon", "Sausage", "Turkey", "Shrimp")),
    ("produce", 15, ("Apples", "Bananas", "Salad mix", "Tomatoes", "Onions", "Peppers", "Carrots", "Beans")),
    ("party", 26, ("Cola", "Chips", "Candles", "Paper cups", "Beer", "Candy", "Napkins", "Sparkling water")),
)
SIZES: Final = ("6 oz", "12 oz", "16 oz", "1 lb", "24 oz", "2 lb", "64 oz", "family size")


def make_source(seed: int) -> BasketSource:
    """Return a source of generated products and households; the same seed gives the same source."""
    products = _products(seed)
    weights = list(accumulate(1 / (rank + POPULARITY_SHIFT) ** POPULARITY_SLOPE for rank in range(1, ARTICLES + 1)))

    def visits(household: int) -> list[Basket]:
        rng = random.Random(f"visits/{seed}/{household}")
        return [_basket(rng, household, products, weights) for _ in range(VISITS_PER_HOUSEHOLD)]

    return BasketSource(f"synthetic seed {seed}", products, range(1, HOUSEHOLDS + 1), visits)


def _products(seed: int) -> list[Product]:
    rng = random.Random(f"products/{seed}")
    kinds = rng.choices(AISLE_SHARES, [share for _, share, _ in AISLE_SHARES], k=ARTICLES)
    return [
        Product(
            str(100_000 + number),
            f"{rng.choice(words)} no. {number}, {rng.choice(SIZES)}",
            aisle_type,
            _between(PRICES_CENTS, rng.random()),
        )
        for number, (aisle_type, _, words) in enumerate(kinds, start=1)
    ]


def _basket(rng: random.Random, household: int, products: list[Product], weights: list[float]) -> Basket:
    wanted = _between(LINE_COUNTS, rng.random())
    chosen: dict[str, int] = {}
    while len(chosen) < wanted:
        product = products[bisect_right(weights, rng.random() * weights[-1])]
        chosen[product.sku] = rng.choices(*QUANTITIES)[0]
    hour = rng.choices(range(24), HOURS)[0]
    at_s = rng.randrange(int(WINDOW_S // 86_400)) * 86_400 + hour * 3_600 + rng.random() * 3_600
    return Basket(household, at_s, tuple(Line(sku, quantity) for sku, quantity in chosen.items()))


def _between(quantiles: tuple[tuple[float, int], ...], share: float) -> int:
    """Return the value of a quantile table at `share` in 0..1, interpolated linearly."""
    for (low, low_value), (high, high_value) in pairwise(quantiles):
        if share <= high:
            return round(low_value + (high_value - low_value) * (share - low) / (high - low))
    return quantiles[-1][1]
