"""Lines of a pricing: quotes that add up, a price list that is whole, prices that stay."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from autogrocery.contracts.pricing.v1 import pricing_pb2 as pb
from autogrocery.kit.rpc.status import Code
from autogrocery.lab.conformance.hostile_lines import INT32_MAX, LONG, answers_in_time, expect_undecodable
from autogrocery.lab.conformance.line import CALLS, DEADLINES, Failed, Line, NotChecked, expect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autogrocery.lab.conformance.calls import Calls
    from autogrocery.lab.conformance.options import Options
    from autogrocery.lab.conformance.restart import Restart

CURRENCY: Final = re.compile(r"[A-Z]{3}")
PROBE_CENTS: Final = 1_000_000  # a cost whose price shows the margin to four digits of a percent
PAGE: Final = 3
MAX_PAGES: Final = 1_000
UNARY: Final = (
    ("Quote", pb.QuoteRequest()),
    ("ListProducts", pb.ListProductsRequest(limit=1)),
    ("GetPrice", pb.GetPriceRequest(sku="kit")),
    ("UpdateStockMetrics", pb.UpdateStockMetricsRequest()),
)


class PricingPeer:
    """The calls in short form. Every line has products of its own."""

    def __init__(self, calls: Calls, options: Options, restart: Restart | None) -> None:
        self.calls = calls
        self.options = options
        self.restart = restart
        self._run = uuid4().hex[:10]
        self._numbers = count(1)

    async def answers(self) -> None:
        """Make one harmless call."""
        await self.calls.ask("ListProducts", pb.ListProductsRequest(query=self._run, limit=1))

    async def tidy(self) -> None:
        """Leave the products of this run: there is no call that removes one."""

    def new_sku(self) -> str:
        """Return a SKU that no other line uses."""
        return f"kit-{self._run}-{next(self._numbers):03d}"

    async def fresh(self, *prices_cents: int) -> list[str]:
        """Add a product for each price; return their SKUs."""
        skus = [self.new_sku() for _ in prices_cents]
        await self.update(dict(zip(skus, prices_cents, strict=True)))
        return skus

    async def update(self, prices_cents: Mapping[str, int]) -> int:
        """Set prices; return how many products the peer says it updated."""
        updates = [
            pb.StockMetric(
                sku=sku, quantity=5, unit_cost_cents=1, name=f"Kit {sku}", aisle_type="dairy", unit_price_cents=price
            )
            for sku, price in prices_cents.items()
        ]
        return int((await self.calls.ask("UpdateStockMetrics", pb.UpdateStockMetricsRequest(updates=updates))).updated)

    async def quote(self, basket: Mapping[str, int], order_id: str = "") -> Any:
        """Return the quote for a basket."""
        items = [pb.Item(sku=sku, quantity=quantity) for sku, quantity in basket.items()]
        return await self.calls.ask("Quote", pb.QuoteRequest(order_id=order_id or str(uuid4()), items=items))

    async def prices(self, *skus: str) -> dict[str, int]:
        """Return the unit prices of a quote for one unit of each SKU."""
        reply = await self.quote(dict.fromkeys(skus, 1))
        return {line.sku: line.unit_price_cents for line in reply.lines}

    async def page_through(self, query: str, limit: int) -> list[list[Any]]:
        """Return all pages of a search."""
        pages, cursor = [], ""
        for _ in range(MAX_PAGES):
            reply = await self.calls.ask(
                "ListProducts", pb.ListProductsRequest(query=query, cursor=cursor, limit=limit)
            )
            pages.append(list(reply.products))
            cursor = reply.next_cursor
            if not cursor:
                return pages
        raise Failed(f"ListProducts has a next_cursor after {MAX_PAGES} pages of {limit}")


async def calls_exist(peer: PricingPeer) -> None:
    """Every call exists."""
    missing = [m for m, request in UNARY if await peer.calls.status(m, request) is Code.UNIMPLEMENTED]
    expect(not missing, f"UNIMPLEMENTED: {', '.join(missing)}")


async def metrics_create_products(peer: PricingPeer) -> None:
    """UpdateStockMetrics adds unknown products at the price given, and tells how many it wrote."""
    skus = [peer.new_sku() for _ in range(3)]
    updated = await peer.update(dict(zip(skus, (129, 1, 99_999), strict=True)))
    expect(updated == len(skus), f"3 products were sent, updated says {updated}")
    prices = await peer.prices(*skus)
    expect(prices == dict(zip(skus, (129, 1, 99_999), strict=True)), f"prices 129, 1, 99999 were set; quoted {prices}")


async def metrics_change_prices(peer: PricingPeer) -> None:
    """UpdateStockMetrics changes the price of a known product."""
    (sku,) = await peer.fresh(500)
    await peer.update({sku: 450})
    prices = await peer.prices(sku)
    expect(prices == {sku: 450}, f"the price was changed from 500 to 450; quoted {prices}")


async def cost_makes_a_price(peer: PricingPeer) -> None:
    """Without a price it is cost plus margin, rounded up, with one margin for all."""
    costs = (PROBE_CENTS, 333, 1, 10_007)
    skus = [peer.new_sku() for _ in costs]
    updates = [
        pb.StockMetric(sku=sku, quantity=1, unit_cost_cents=cost, name=sku, aisle_type="dairy")
        for sku, cost in zip(skus, costs, strict=True)
    ]
    await peer.calls.ask("UpdateStockMetrics", pb.UpdateStockMetricsRequest(updates=updates))
    prices = await peer.prices(*skus)
    expect(set(prices) == set(skus), "products with a cost and no price are not priced")
    with_margin = prices[skus[0]]
    expect(with_margin >= PROBE_CENTS, f"a cost of {PROBE_CENTS} is sold for {with_margin}: below cost")
    for sku, cost in zip(skus[1:], costs[1:], strict=True):
        wanted = -(-cost * with_margin // PROBE_CENTS)
        expect(prices[sku] == wanted, f"a cost of {cost} at this margin is {wanted} rounded up, quoted {prices[sku]}")


async def quote_adds_up(peer: PricingPeer) -> None:
    """A line is price times quantity, the total is the sum of the lines, in exact cents."""
    skus = await peer.fresh(129, 1, 33_333)
    quantities = dict(zip(skus, (3, 999, 7), strict=True))
    reply = await peer.quote(quantities)
    for line in reply.lines:
        wanted, told = line.unit_price_cents * line.quantity, line.line_total_cents
        expect(told == wanted, f"{line.quantity} times {line.unit_price_cents} is {wanted}, {line.sku} says {told}")
    total = sum(line.line_total_cents for line in reply.lines)
    expect(reply.total_cents == total, f"the lines' sum is {total}, total_cents says {reply.total_cents}")


async def quote_has_every_line(peer: PricingPeer) -> None:
    """A quote has each line that was asked, once, with its quantity and a name."""
    skus = await peer.fresh(10, 20, 30)
    asked = dict(zip(skus, (1, 2, 3), strict=True))
    reply = await peer.quote(asked)
    quoted = [(line.sku, line.quantity) for line in reply.lines]
    expect(sorted(quoted) == sorted(asked.items()), f"asked {sorted(asked.items())}, quoted {sorted(quoted)}")
    expect(all(line.name for line in reply.lines), "a line has no name")
    expect(not reply.unknown_skus, "unknown_skus has known products")


async def unknown_skus_are_listed(peer: PricingPeer) -> None:
    """Unknown SKUs are listed, have no line and cost nothing."""
    (sku,), unknown = await peer.fresh(250), peer.new_sku()
    reply = await peer.quote({unknown: 2, sku: 1})
    expect(list(reply.unknown_skus) == [unknown], f"unknown_skus should be [{unknown}], is {list(reply.unknown_skus)}")
    quoted = [line.sku for line in reply.lines]
    expect(quoted == [sku], f"only {sku} can be priced, the lines are {quoted}")


async def order_id_is_returned(peer: PricingPeer) -> None:
    """Each quote has the order_id of its question, with many at once too."""
    skus = await peer.fresh(*range(1, 21))
    ids = [str(uuid4()) for _ in skus]
    replies = await asyncio.gather(*(peer.quote({sku: 1}, one) for sku, one in zip(skus, ids, strict=True)))
    expect([reply.order_id for reply in replies] == ids, "a reply has another order_id than its request")
    lines = [[line.sku for line in reply.lines] for reply in replies]
    expect(lines == [[sku] for sku in skus], "of many quotes at once, one has the lines of another")


async def one_currency(peer: PricingPeer) -> None:
    """Quotes, the price list and GetPrice have one currency, an ISO 4217 code."""
    (sku,) = await peer.fresh(250)
    quoted = (await peer.quote({sku: 1})).currency
    expect(CURRENCY.fullmatch(quoted) is not None, f"the currency {quoted!r} is no ISO 4217 code")
    listed = {product.currency for page in await peer.page_through(sku, PAGE) for product in page}
    single = (await peer.calls.ask("GetPrice", pb.GetPriceRequest(sku=sku))).product.currency
    expect(listed | {single} == {quoted}, f"quoted in {quoted}, listed in {sorted(listed)}, GetPrice says {single!r}")


async def prices_are_stable(peer: PricingPeer) -> None:
    """The same quote has the same prices, until they are changed."""
    skus = await peer.fresh(199, 45)
    replies = [await peer.quote(dict.fromkeys(skus, 2)) for _ in range(5)]
    told = {tuple((line.sku, line.unit_price_cents) for line in reply.lines) for reply in replies}
    expect(len(told) == 1, f"five equal quotes had {len(told)} different answers")


async def get_price_is_true(peer: PricingPeer) -> None:
    """GetPrice returns the product as it was set, and nothing for an unknown SKU."""
    (sku,) = await peer.fresh(345)
    known = await peer.calls.ask("GetPrice", pb.GetPriceRequest(sku=sku))
    expect(known.HasField("product"), "GetPrice does not know a product that was added")
    told = (known.product.sku, known.product.unit_price_cents, known.product.aisle_type, known.product.name)
    expect(told == (sku, 345, "dairy", f"Kit {sku}"), f"set: 345 cents, dairy, 'Kit {sku}'; told: {told}")
    unknown = await peer.calls.ask("GetPrice", pb.GetPriceRequest(sku=peer.new_sku()))
    expect(not unknown.HasField("product"), "GetPrice of an unknown SKU has a product")


async def pages_are_whole(peer: PricingPeer) -> None:
    """Paging through a search returns every product once, in pages of at most `limit`."""
    mark = uuid4().hex[:8]
    skus = [f"kit-{mark}-{number:02d}" for number in range(2 * PAGE + 1)]
    await peer.update(dict.fromkeys(skus, 100))
    pages = await peer.page_through(mark, PAGE)
    expect(all(len(page) <= PAGE for page in pages), f"a page has more than {PAGE} products, the limit asked for")
    found = [product.sku for page in pages for product in page]
    twice = sorted({sku for sku in found if found.count(sku) > 1})
    expect(not twice, f"on two pages: {twice}")
    missing = sorted(set(skus) - set(found))
    expect(not missing, f"on no page: {missing}")
    expect(set(found) == set(skus), f"the search for {mark!r} found {sorted(set(found) - set(skus))[:3]}")


async def search_by_name(peer: PricingPeer) -> None:
    """A search finds a product by a part of its name."""
    sku, word = peer.new_sku(), f"oat{uuid4().hex[:8]}"
    update = pb.StockMetric(sku=sku, name=f"Kit {word} drink", aisle_type="dairy", unit_price_cents=219)
    await peer.calls.ask("UpdateStockMetrics", pb.UpdateStockMetricsRequest(updates=[update]))
    found = [product.sku for page in await peer.page_through(word, PAGE) for product in page]
    expect(found == [sku], f"a search for {word!r}, a part of a product's name, found {found}")


async def odd_baskets_are_refused(peer: PricingPeer) -> None:
    """Quotes of odd quantities, of no or endless lines are refused; none has a total below 0."""
    (sku,) = await peer.fresh(100)
    one = pb.Item(sku=sku, quantity=1)
    for quantity in (0, -1, -INT32_MAX - 1):
        await _expect_no_quote(peer, [pb.Item(sku=sku, quantity=quantity)])
    await _expect_no_quote(peer, [])
    for odd in ("", "\0", LONG):
        await _expect_no_line(peer, [one, pb.Item(sku=odd, quantity=1)], odd)


async def odd_updates_are_refused(peer: PricingPeer) -> None:
    """Updates with a price or cost below 0, an empty or endless SKU are refused."""
    sku = peer.new_sku()
    for odd in (
        pb.StockMetric(sku=sku, name="Kit", aisle_type="dairy", unit_price_cents=-1),
        pb.StockMetric(sku=sku, name="Kit", aisle_type="dairy", unit_cost_cents=-1),
        pb.StockMetric(sku="", name="Kit", aisle_type="dairy", unit_price_cents=1),
        pb.StockMetric(sku=LONG, name="Kit", aisle_type="dairy", unit_price_cents=1),
    ):
        reply = await peer.calls.attempt("UpdateStockMetrics", pb.UpdateStockMetricsRequest(updates=[odd]))
        expect(reply is None or not reply.updated, "a product that can't be sold was accepted")
    reply = await peer.calls.ask("GetPrice", pb.GetPriceRequest(sku=sku))
    expect(not reply.HasField("product"), "a refused product is in the price list")


async def undecodable_bytes_are_refused(peer: PricingPeer) -> None:
    """Bytes that are no message end with an error, whatever its status; the peer goes on answering."""
    service = pb.DESCRIPTOR.services_by_name["PricingService"]
    for method, _ in UNARY:
        await expect_undecodable(peer, f"/{service.full_name}/{method}")


async def prices_survive(peer: PricingPeer) -> None:
    """Prices are the same after a restart."""
    skus = await peer.fresh(199, 45)
    if peer.restart is None:
        raise NotChecked("no --restart-command")
    peer.calls.measuring = False
    try:
        await peer.restart.run()
    finally:
        peer.calls.measuring = True
    prices = await peer.prices(*skus)
    expect(prices == dict(zip(skus, (199, 45), strict=True)), f"prices 199 and 45 were set; after the restart {prices}")


async def _expect_no_quote(peer: PricingPeer, items: Sequence[pb.Item]) -> None:
    reply = await peer.calls.attempt("Quote", pb.QuoteRequest(order_id=str(uuid4()), items=items))
    expect(reply is None or not reply.lines, "a basket that can't be bought was quoted")
    expect(reply is None or reply.total_cents == 0, "a basket that can't be bought has a total")


async def _expect_no_line(peer: PricingPeer, items: Sequence[pb.Item], odd: str) -> None:
    reply = await peer.calls.attempt("Quote", pb.QuoteRequest(order_id=str(uuid4()), items=items))
    priced = reply is not None and any(line.sku == odd for line in reply.lines)
    expect(not priced, "a SKU that was never added was quoted")


def lines() -> tuple[Line, ...]:
    """Return the lines of one run."""
    line = partial(Line, link=CALLS)
    return (
        line("P1", "UpdateStockMetrics adds products at their price", check=metrics_create_products),
        line("P2", "UpdateStockMetrics changes a price", check=metrics_change_prices),
        line("P3", "Without a price it is cost plus margin, rounded up", check=cost_makes_a_price),
        line("Q1", "A quote adds up to the cent", check=quote_adds_up),
        line("Q2", "A quote has every line that was asked, once", check=quote_has_every_line),
        line("Q3", "Unknown SKUs are listed and cost nothing", check=unknown_skus_are_listed),
        line("Q4", "A quote has its order_id and its own lines", check=order_id_is_returned),
        line("Q5", "There is one currency, an ISO 4217 code", check=one_currency),
        line("Q6", "Equal quotes are equal", check=prices_are_stable),
        line("L1", "GetPrice tells a product as it was set", check=get_price_is_true),
        line("L2", "Paging returns every product once", check=pages_are_whole),
        line("L3", "A search finds parts of names", check=search_by_name),
        line("U1", "Every call exists", check=calls_exist),
        line("H1", "Baskets that can't be bought are refused", check=odd_baskets_are_refused),
        line("H2", "Products that can't be sold are refused", check=odd_updates_are_refused),
        line("H3", "Bytes that are no message end with an error", check=undecodable_bytes_are_refused),
        line("R1", "Prices survive a restart", check=prices_survive),
        Line("D1", "Every call was answered while the gateway waits", DEADLINES, answers_in_time),
    )
