"""Put stock on the shelves through the peers' RPCs, as a delivery would, never by SQL."""

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


async def is_empty(pricing_target: str, identity: Identity | None = None) -> bool:
    """Say whether the price list has no product yet."""
    async with open_channel(pricing_target, identity, identities.PRICING) as channel:
        stub = PricingServiceStub(channel)  # type: ignore[no-untyped-call]
        request = pri.ListProductsRequest(limit=1)
        reply = await Peer("pricing").call(stub.ListProducts, request, timeout_s=TIMEOUT_S, point="stock.list_products")
    return not reply.products


async def levels_of(inventory_target: str, skus: Sequence[str], identity: Identity | None = None) -> dict[str, int]:
    """Return how many units of each SKU can be sold; one that inventory does not know is missing. Raises InDoubt."""
    levels: dict[str, int] = {}
    async with open_channel(inventory_target, identity, identities.INVENTORY) as inventory:
        shelves = InventoryServiceStub(inventory)  # type: ignore[no-untyped-call]
        for start in range(0, len(skus), BATCH):
            request = inv.CheckAvailabilityRequest(skus=skus[start : start + BATCH])
            reply = await Peer("inventory").call(
                shelves.CheckAvailability, request, timeout_s=TIMEOUT_S, point="stock.levels"
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
        prices = PricingServiceStub(pricing)  # type: ignore[no-untyped-call]
        shelves = InventoryServiceStub(inventory)  # type: ignore[no-untyped-call]
        for part in _parts(items):
            await _again(Peer("pricing"), prices.UpdateStockMetrics, _priced(part))
            told = await _again(Peer("inventory"), shelves.RestockItems, _delivered(part))
            if not told.success:
                raise StartError(f"inventory refused the stock: {told.message}")


async def _again(peer: Peer, method: object, request: object) -> inv.RestockResponse:
    """Make an idempotent call, some times if need be."""
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            return await peer.call(method, request, timeout_s=TIMEOUT_S, point="stock.load")  # type: ignore[arg-type]
        except InDoubt as doubt:
            if last:
                raise StartError(f"{doubt.peer} did not take the stock: {doubt.detail}") from doubt
    raise AssertionError


def _priced(items: Sequence[StockItem]) -> pri.UpdateStockMetricsRequest:
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


def _delivered(items: Sequence[StockItem]) -> inv.RestockRequest:
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


def _parts(items: Sequence[StockItem]) -> Iterator[Sequence[StockItem]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
