"""PricingService: each call converts its message, runs one action and converts the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.contracts.identities import GATEWAY, OPERATOR
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pb
from autogrocery.kit.rpc.server import server_methods
from autogrocery.pricing.actions.get_price import get_price
from autogrocery.pricing.actions.list_products import list_products
from autogrocery.pricing.actions.quote import quote
from autogrocery.pricing.actions.update_stock_metrics import update_stock_metrics
from autogrocery.pricing.wire import messages

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.rpc.server_call import ServerCall, ServerMethod

SERVICE: Final = "autogrocery.pricing.v1.PricingService"
# The certificate identities allowed on each call.
CALLERS: Final = {
    "Quote": (GATEWAY,),
    "ListProducts": (GATEWAY, OPERATOR),
    "GetPrice": (GATEWAY, OPERATOR),
    "UpdateStockMetrics": (GATEWAY, OPERATOR),
}


class Pricing:
    """The service's calls on one price list."""

    def __init__(self, db: Db, *, currency: str, margin_percent: int) -> None:
        self._db = db
        self._currency = currency
        self._margin_percent = margin_percent

    async def Quote(self, request: pb.QuoteRequest, _call: ServerCall) -> pb.QuoteResponse:  # noqa: N802
        """Price a basket."""
        messages.check_order_id(request.order_id)
        priced = await quote(self._db, messages.read_lines(request.items))
        return messages.quote_response(request.order_id, self._currency, priced)

    async def ListProducts(self, request: pb.ListProductsRequest, _call: ServerCall) -> pb.ListProductsResponse:  # noqa: N802
        """Search the price list."""
        return messages.list_response(await list_products(self._db, request.query, request.cursor, request.limit))

    async def GetPrice(self, request: pb.GetPriceRequest, _call: ServerCall) -> pb.GetPriceResponse:  # noqa: N802
        """Return one product with its price."""
        return messages.price_response(await get_price(self._db, request.sku))

    async def UpdateStockMetrics(  # noqa: N802
        self, request: pb.UpdateStockMetricsRequest, _call: ServerCall
    ) -> pb.UpdateStockMetricsResponse:
        """Create and change products."""
        offers = messages.read_offers(request.updates, margin_percent=self._margin_percent)
        return pb.UpdateStockMetricsResponse(updated=await update_stock_metrics(self._db, offers, self._currency))


def methods(pricing: Pricing) -> dict[str, ServerMethod]:
    """Return the service's methods, as a server takes them."""
    return server_methods(pb.DESCRIPTOR.services_by_name["PricingService"], pricing)
