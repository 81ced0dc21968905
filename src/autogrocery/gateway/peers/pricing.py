"""Pricing, as the gateway sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.pricing.v1 import pricing_pb2 as wire
from autogrocery.contracts.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from autogrocery.gateway.core.quote import Price, Quote
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.rpc.client import Peer
from autogrocery.kit.rpc.stream_client import Stream
from autogrocery.kit.rpc.stream_method import method_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import grpc.aio

    from autogrocery.gateway.core.quote import Want
    from autogrocery.gateway.core.restock import Goods

CONVERSE = f"/{wire.DESCRIPTOR.services_by_name['PricingService'].full_name}/Converse"
TIMEOUT_S = 1.0
UPDATE_TIMEOUT_S = 2.0  # nobody waits for it but a truck
MAX_PRICE_CENTS = 10**12  # a hundred lines of 999 at that price are still a bigint


class Product(Struct, frozen=True):
    """One entry of the price list."""

    sku: str
    name: str
    aisle_type: str
    unit_price_cents: int


def _makes_sense(price: Price) -> bool:
    return 0 <= price.unit_price_cents <= MAX_PRICE_CENTS and "\0" not in price.name


class Pricing:
    """Quotes and the price list; every method raises InDoubt if there is no clear answer.

    They share one stream if pricing knows that form, unless `streams` is False; else each is a call of its own.
    """

    def __init__(self, channel: grpc.aio.Channel, *, streams: bool = True) -> None:
        self.peer = Peer("pricing")
        stub = PricingServiceStub(channel)  # type: ignore[no-untyped-call]
        stream = Stream(channel, CONVERSE, wire.Calls, wire.Answers.FromString) if streams else None
        self._quote = method_of(stream, "quote", stub.Quote)
        self._list_products = method_of(stream, "list_products", stub.ListProducts)
        self._update_stock_metrics = stub.UpdateStockMetrics  # too few for the stream

    async def quote(self, order_id: UUID, wants: Sequence[Want]) -> Quote:
        """Price a basket."""
        asked = str(order_id)
        request = wire.QuoteRequest(
            order_id=asked, items=[wire.Item(sku=want.sku, quantity=want.quantity) for want in wants]
        )
        reply: wire.QuoteResponse = await self.peer.call(
            self._quote, request, timeout_s=TIMEOUT_S, point="pricing.quote"
        )
        prices = {line.sku: Price(line.name, line.unit_price_cents) for line in reply.lines}
        missing = {want.sku for want in wants} - prices.keys() - set(reply.unknown_skus)
        if reply.order_id != asked or missing or not all(map(_makes_sense, prices.values())):
            raise InDoubt(self.peer.name, "a quote that does not answer the question")
        return Quote(reply.currency, prices, tuple(reply.unknown_skus))

    async def list_products(self, query: str, cursor: str, limit: int) -> tuple[list[Product], str]:
        """Return a page of products by name or SKU, and the cursor of the next one (empty: the last)."""
        reply: wire.ListProductsResponse = await self.peer.call(
            self._list_products,
            wire.ListProductsRequest(query=query, cursor=cursor, limit=limit),
            timeout_s=TIMEOUT_S,
            point="pricing.list_products",
        )
        found = [Product(item.sku, item.name, item.aisle_type, item.unit_price_cents) for item in reply.products]
        return found, reply.next_cursor

    async def update_stock_metrics(self, goods: Sequence[Goods]) -> None:
        """Tell what came at which cost: pricing makes prices of it, and products that it does not know yet."""
        updates = [
            wire.StockMetric(
                sku=one.sku,
                quantity=one.quantity,
                unit_cost_cents=one.unit_cost_cents,
                name=one.name,
                aisle_type=one.aisle_type,
            )
            for one in goods
        ]
        await self.peer.call(
            self._update_stock_metrics,
            wire.UpdateStockMetricsRequest(updates=updates),
            timeout_s=UPDATE_TIMEOUT_S,
            point="pricing.update_stock_metrics",
        )
