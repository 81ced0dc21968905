"""PricingService: each call is a row of this class and one action; wire types end here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from autogrocery.contracts.identities import GATEWAY, OPERATOR
from autogrocery.contracts.pricing.v1 import pricing_pb2 as wire
from autogrocery.contracts.pricing.v1.pricing_pb2_grpc import (
    PricingServiceServicer,
    add_PricingServiceServicer_to_server,
)
from autogrocery.kit.errors import Invalid
from autogrocery.pricing.actions.get_price import get_price
from autogrocery.pricing.actions.list_products import list_products
from autogrocery.pricing.actions.quote import quote
from autogrocery.pricing.actions.update_stock_metrics import update_stock_metrics
from autogrocery.pricing.core import price

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.rpc.stream_server import Conversations, Table

SERVICE: Final = "autogrocery.pricing.v1.PricingService"
# Whose certificates may make which call.
CALLERS: Final = {
    "Converse": (GATEWAY,),
    "Quote": (GATEWAY,),
    "ListProducts": (GATEWAY, OPERATOR),
    "GetPrice": (GATEWAY, OPERATOR),
    "UpdateStockMetrics": (GATEWAY, OPERATOR),
}


class Pricing(PricingServiceServicer):
    """The service's calls over one price list."""

    def __init__(self, db: Db, *, currency: str, margin_percent: int) -> None:
        self._db = db
        self._currency = currency
        self._margin_percent = margin_percent
        self._streamed: Table = {"quote": self.Quote, "list_products": self.ListProducts}

    async def Converse(self, conversations: Conversations, context: Any) -> None:  # noqa: N802 - the contract's names
        """Answer quotes and searches on one stream."""
        await conversations.hold(context, self._streamed, wire.Answers)

    async def Quote(self, request: wire.QuoteRequest, _context: Any) -> wire.QuoteResponse:  # noqa: N802
        """Price a basket."""
        _check_order_id(request.order_id)
        told = await quote(self._db, [price.Line(item.sku, item.quantity) for item in request.items])
        return wire.QuoteResponse(
            order_id=request.order_id,
            currency=self._currency,
            lines=[
                wire.QuoteLine(
                    sku=line.sku,
                    name=line.name,
                    quantity=line.quantity,
                    unit_price_cents=line.unit_price_cents,
                    line_total_cents=line.line_total_cents,
                )
                for line in told.lines
            ],
            total_cents=told.total_cents,
            unknown_skus=told.unknown_skus,
        )

    async def ListProducts(self, request: wire.ListProductsRequest, _context: Any) -> wire.ListProductsResponse:  # noqa: N802
        """Search the price list."""
        page, cursor = await list_products(self._db, request.query, request.cursor, request.limit)
        return wire.ListProductsResponse(products=[_wire(product) for product in page], next_cursor=cursor)

    async def GetPrice(self, request: wire.GetPriceRequest, _context: Any) -> wire.GetPriceResponse:  # noqa: N802
        """Look one product up."""
        found = await get_price(self._db, request.sku)
        return wire.GetPriceResponse(product=_wire(found) if found else None)

    async def UpdateStockMetrics(  # noqa: N802
        self, request: wire.UpdateStockMetricsRequest, _context: Any
    ) -> wire.UpdateStockMetricsResponse:
        """Create and change products."""
        offers = [
            price.offer(
                sku=told.sku,
                name=told.name,
                aisle_type=told.aisle_type,
                unit_price_cents=told.unit_price_cents,
                unit_cost_cents=told.unit_cost_cents,
                quantity=told.quantity,
                margin_percent=self._margin_percent,
            )
            for told in request.updates
        ]
        return wire.UpdateStockMetricsResponse(updated=await update_stock_metrics(self._db, offers, self._currency))


def adder(pricing: Pricing) -> Callable[[grpc.aio.Server], None]:
    """Return what adds the service to a server."""
    return lambda server: add_PricingServiceServicer_to_server(pricing, server)  # type: ignore[no-untyped-call]


def _check_order_id(text: str) -> None:
    try:
        UUID(text)
    except ValueError:
        raise Invalid("invalid_request", "order_id is a UUID") from None


def _wire(product: price.Product) -> wire.Product:
    return wire.Product(
        sku=product.sku,
        name=product.name,
        aisle_type=product.aisle_type,
        unit_price_cents=product.unit_price_cents,
        currency=product.currency,
    )
