"""The promises of pricing, of the reference and of the fake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.ids import uuid7
from tests.contract.peers_under_test import basket, open_pricing
from tests.harness.fake_peers import PRICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from autogrocery.gateway.peers.pricing import Pricing


@pytest.fixture
def dsn(kind: str, dsn_of: Callable[[str], str]) -> str:
    """A database for the reference; the fake needs none."""
    return dsn_of("pricing") if kind == "reference" else ""


@pytest.fixture
async def pricing(kind: str, dsn: str) -> AsyncIterator[Pricing]:
    async with open_pricing(kind, dsn) as opened:
        yield opened


async def test_quote_prices_each_line_and_lists_unknown_skus(pricing: Pricing) -> None:
    quote = await pricing.quote(uuid7(), basket(milk=2, apple=1, unicorn=1))
    assert {sku: price.unit_price_cents for sku, price in quote.prices.items()} == {
        "milk": PRICES["milk"],
        "apple": PRICES["apple"],
    }
    assert (quote.unknown_skus, quote.currency) == (("unicorn",), "USD")


async def test_concurrent_quotes_get_their_own_lines(pricing: Pricing) -> None:
    skus = [sku for sku in PRICES for _ in range(10)]
    quotes = await asyncio.gather(*(pricing.quote(uuid7(), basket(**{sku: 1})) for sku in skus))
    assert [list(quote.prices) for quote in quotes] == [[sku] for sku in skus]


async def test_price_list_pages_return_every_product(pricing: Pricing) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        answer = await pricing.list_products("", cursor, 2)
        page, cursor = answer.products, answer.next_cursor
        found += [product.sku for product in page]
        if not cursor:
            break
    assert found == sorted(PRICES)
