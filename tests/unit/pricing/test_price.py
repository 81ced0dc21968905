from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.kit.errors import Invalid
from autogrocery.pricing.core import price

PRODUCTS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.integers(1, price.MAX_PRICE_CENTS),
    max_size=20,
)
BASKETS = st.lists(
    st.builds(price.Line, st.text("abcdef", min_size=1, max_size=3), st.integers(1, price.MAX_QUANTITY)),
    min_size=1,
    max_size=20,
    unique_by=lambda line: line.sku,
)


@given(BASKETS, PRODUCTS)
def test_quote_total_is_the_sum_of_its_lines_in_basket_order(basket: list[price.Line], list_: dict[str, int]) -> None:
    products = {sku: price.Product(sku, sku, "bread", cents, "USD") for sku, cents in list_.items()}
    quote = price.quote(basket, products)
    assert quote.total_cents == sum(list_.get(line.sku, 0) * line.quantity for line in basket)
    assert [line.sku for line in quote.lines] == [line.sku for line in basket if line.sku in list_]
    assert list(quote.unknown_skus) == [line.sku for line in basket if line.sku not in list_]


def test_largest_quote_fits_an_int64() -> None:
    basket = [price.Line(str(number), price.MAX_QUANTITY) for number in range(price.MAX_LINES)]
    products = {line.sku: price.Product(line.sku, "", "bread", price.MAX_PRICE_CENTS, "USD") for line in basket}
    assert price.quote(basket, products).total_cents < 1 << 63


@given(st.integers(0, 10**12), st.integers(0, 1_000))
def test_price_is_cost_plus_margin_rounded_up(cost: int, margin: int) -> None:
    assert price.price_cents(cost, margin) == ceil(Fraction(cost) * Fraction(100 + margin, 100))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [price.Line("a", 0)],
        [price.Line("a", -1)],
        [price.Line("a", 1_000)],
        [price.Line("a", 1), price.Line("a", 2)],
        [price.Line(str(number), 1) for number in range(101)],
    ],
)
def test_basket_out_of_bounds_raises_invalid(lines: list[price.Line]) -> None:
    with pytest.raises(Invalid):
        price.check_lines(lines)
