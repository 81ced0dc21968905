"""Pricing's gRPC client: core types in, answers out, `InDoubt` for everything that is no clear answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.pricing.v1 import pricing_pb2 as wire
from autogrocery.gateway.core.quote import Quote
from autogrocery.gateway.peers import reply_checks
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.client import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.gateway.core.quote import RequestedItem
    from autogrocery.gateway.core.restock import Goods
    from autogrocery.kit.rpc.client_call import Caller

SERVICE = wire.DESCRIPTOR.services_by_name["PricingService"]
TIMEOUT_S = 1.0
UPDATE_TIMEOUT_S = 2.0  # no device waits for it, only a truck


class Product(Struct, frozen=True):
    """One entry of the price list."""

    sku: str
    name: str
    aisle_type: str
    unit_price_cents: int


class ProductPage(Struct, frozen=True):
    """Some products, and the cursor of the next page; empty: this is the last one."""

    products: list[Product]
    next_cursor: str


class Pricing:
    """Quotes and the price list, in one currency; every method raises InDoubt if there is no clear answer."""

    def __init__(self, channel: Caller, *, currency: str = "USD") -> None:
        self.peer = Peer("pricing")
        self._currency = currency
        self._methods = stub_of(channel, SERVICE)

    async def quote(self, order_id: UUID, items: Sequence[RequestedItem]) -> Quote:
        """Price a basket."""
        asked = str(order_id)
        request = wire.QuoteRequest(
            order_id=asked, items=[wire.Item(sku=item.sku, quantity=item.quantity) for item in items]
        )
        reply: wire.QuoteResponse = await self.peer.call(
            self._methods.Quote, request, timeout_s=TIMEOUT_S, point="pricing.quote"
        )
        reply_checks.check_order_id(self.peer, "quote", asked, reply.order_id)
        wanted = {item.sku: item.quantity for item in items}
        prices = reply_checks.read_prices(self.peer, wanted, reply, self._currency)
        return Quote(self._currency, prices, tuple(reply.unknown_skus))

    async def list_products(self, query: str, cursor: str, limit: int) -> ProductPage:
        """Return a page of products by name or SKU."""
        reply: wire.ListProductsResponse = await self.peer.call(
            self._methods.ListProducts,
            wire.ListProductsRequest(query=query, cursor=cursor, limit=limit),
            timeout_s=TIMEOUT_S,
            point="pricing.list_products",
        )
        reply_checks.check_products(self.peer, reply, cursor=cursor, limit=limit, currency=self._currency)
        found = [Product(item.sku, item.name, item.aisle_type, item.unit_price_cents) for item in reply.products]
        return ProductPage(found, reply.next_cursor)

    async def update_stock_metrics(self, goods: Sequence[Goods]) -> None:
        """Report what was delivered at which cost: pricing derives prices from it, and adds new products."""
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
        reply: wire.UpdateStockMetricsResponse = await self.peer.call(
            self._methods.UpdateStockMetrics,
            wire.UpdateStockMetricsRequest(updates=updates),
            timeout_s=UPDATE_TIMEOUT_S,
            point="pricing.update_stock_metrics",
        )
        if not 0 <= reply.updated <= len(goods):
            raise self.peer.rejected("update_stock_metrics.updated", "out of range")
