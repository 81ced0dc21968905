"""What the gateway asks of pricing, of the reference and of the fake, in both forms of a call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.process.clock import uuid7
from tests.contract.stage import basket, open_pricing
from tests.harness.fake_peers import PRICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from autogrocery.gateway.peers.pricing import Pricing


@pytest.fixture
def dsn(which: tuple[str, str], dsn_of: Callable[[str], str]) -> str:
    """A database for those who need one."""
    return dsn_of("pricing") if which[0] == "reference" else ""


@pytest.fixture
async def pricing(which: tuple[str, str], dsn: str) -> AsyncIterator[Pricing]:
    async with open_pricing(*which, dsn) as opened:
        yield opened


async def test_a_quote_has_a_price_for_each_line_and_names_what_is_unknown(pricing: Pricing) -> None:
    quote = await pricing.quote(uuid7(), basket(milk=2, apple=1, unicorn=1))
    assert {sku: price.unit_price_cents for sku, price in quote.prices.items()} == {
        "milk": PRICES["milk"],
        "apple": PRICES["apple"],
    }
    assert (quote.unknown_skus, quote.currency) == (("unicorn",), "USD")


async def test_quotes_asked_at_once_are_not_mixed_up(pricing: Pricing) -> None:
    skus = [sku for sku in PRICES for _ in range(10)]
    quotes = await asyncio.gather(*(pricing.quote(uuid7(), basket(**{sku: 1})) for sku in skus))
    assert [list(quote.prices) for quote in quotes] == [[sku] for sku in skus]


async def test_the_price_list_is_paged_to_its_end(pricing: Pricing) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        page, cursor = await pricing.list_products("", cursor, 2)
        found += [product.sku for product in page]
        if not cursor:
            break
    assert found == sorted(PRICES)
