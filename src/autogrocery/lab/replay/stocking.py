"""Load stock through the RPCs of inventory and pricing, as a delivery does, never by SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from autogrocery.contracts import identities
from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.contracts.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.clock import now, uuid7
from autogrocery.kit.process.run import StartError
from autogrocery.kit.rpc.client import Peer, open_channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autogrocery.kit.security.tls import Identity
    from autogrocery.lab.demand.demand import StockItem

BATCH: Final = 500  # products a call
TIMEOUT_S: Final = 20.0
TRIES: Final = 3
SHELF_LIFE: Final = timedelta(days=365)
SUPPLIER: Final = "opening-stock"


async def price_list_is_empty(pricing_target: str, identity: Identity | None = None) -> bool:
    """Return whether the price list has no product."""
    async with open_channel(pricing_target, identity, identities.PRICING) as channel:
        stub = PricingServiceStub(channel)  # type: ignore[no-untyped-call]
        request = pri.ListProductsRequest(limit=1)
        reply = await Peer("pricing").call(stub.ListProducts, request, timeout_s=TIMEOUT_S, point="stock.list_products")
    return not reply.products


async def stock_levels(inventory_target: str, skus: Sequence[str], identity: Identity | None = None) -> dict[str, int]:
    """Return the available units by SKU; a SKU unknown to inventory is missing. Raises InDoubt."""
    levels: dict[str, int] = {}
    async with open_channel(inventory_target, identity, identities.INVENTORY) as inventory:
        inventory_stub = InventoryServiceStub(inventory)  # type: ignore[no-untyped-call]
        for start in range(0, len(skus), BATCH):
            request = inv.CheckAvailabilityRequest(skus=skus[start : start + BATCH])
            reply = await Peer("inventory").call(
                inventory_stub.CheckAvailability, request, timeout_s=TIMEOUT_S, point="stock.levels"
            )
            levels |= {level.sku: level.available for level in reply.items}
    return levels


async def load_stock(
    inventory_target: str, pricing_target: str, items: Sequence[StockItem], identity: Identity | None = None
) -> None:
    """Price the products, then deliver them. Raises StartError if a peer refuses or gives no clear answer."""
    async with (
        open_channel(inventory_target, identity, identities.INVENTORY) as inventory,
        open_channel(pricing_target, identity, identities.PRICING) as pricing,
    ):
        pricing_stub = PricingServiceStub(pricing)  # type: ignore[no-untyped-call]
        inventory_stub = InventoryServiceStub(inventory)  # type: ignore[no-untyped-call]
        for batch in _batches(items):
            await _call_with_retries(Peer("pricing"), pricing_stub.UpdateStockMetrics, _price_request(batch))
            reply = await _call_with_retries(Peer("inventory"), inventory_stub.RestockItems, _restock_request(batch))
            if not reply.success:
                raise StartError(f"inventory refused the stock: {reply.message}")


async def _call_with_retries(peer: Peer, method: object, request: object) -> inv.RestockResponse:
    """Make an idempotent call, up to TRIES times. Raises StartError if no answer is clear."""
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            return await peer.call(method, request, timeout_s=TIMEOUT_S, point="stock.load")  # type: ignore[arg-type]
        except InDoubt as doubt:
            if last:
                raise StartError(f"{doubt.peer} did not take the stock: {doubt.detail}") from doubt
    raise AssertionError


def _price_request(items: Sequence[StockItem]) -> pri.UpdateStockMetricsRequest:
    return pri.UpdateStockMetricsRequest(
        updates=[
            pri.StockMetric(
                sku=item.sku,
                quantity=item.quantity,
                unit_cost_cents=item.unit_cost_cents,
                name=item.name,
                aisle_type=item.aisle_type,
                unit_price_cents=item.unit_price_cents,
            )
            for item in items
        ]
    )


def _restock_request(items: Sequence[StockItem]) -> inv.RestockRequest:
    made, keeps = now(), now() + SHELF_LIFE
    request = inv.RestockRequest(order_id=str(uuid7()), supplier_id=SUPPLIER, shelved=True)
    for item in items:
        line = request.items.add(
            sku=item.sku,
            name=item.name,
            aisle_type=item.aisle_type,
            quantity=item.quantity,
            unit_cost_cents=item.unit_cost_cents,
        )
        line.mfd_date.FromDatetime(made)
        line.expiry_date.FromDatetime(keeps)
    return request


def _batches(items: Sequence[StockItem]) -> Iterator[Sequence[StockItem]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
