"""Load stock through the RPCs of inventory and pricing, as a delivery does, never by SQL.

The goods of a load are entered in batches whose ids follow from the load's id, so a load that is repeated, whatever
ended the first attempt, adds what is missing and nothing twice.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from autogrocery.contracts import identities
from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from autogrocery.kit.process.run import StartError
from autogrocery.kit.rpc.channel import open_channel, stub_of
from autogrocery.kit.rpc.client import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from autogrocery.kit.rpc.client_call import Method
    from autogrocery.kit.security.tls import Identity
    from autogrocery.lab.demand.demand import StockItem

INVENTORY: Final = inv.DESCRIPTOR.services_by_name["InventoryService"]
PRICING: Final = pri.DESCRIPTOR.services_by_name["PricingService"]
BATCH: Final = 500  # products a call; another number makes other ids of the batches of every load
TIMEOUT_S: Final = 20.0
TRIES: Final = 3
PAGE: Final = 200  # products of the price list a call
MAX_PAGES: Final = 1_000
SHELF_LIFE: Final = timedelta(days=365)
SUPPLIER: Final = "opening-stock"
LOADS: Final = UUID("7c1f6a52-8d0e-5b43-9a6e-41d2c07be935")  # the namespace in which a content names a load
BATCHES: Final = UUID("e4b0d9f7-3a58-5c16-8f2d-95ab60c3d71e")  # the one in which load and number name a batch


class LoadResult(Struct):
    """How many products and units a load has entered so far, and how many were entered by an earlier attempt."""

    products: int = 0
    units: int = 0
    products_before: int = 0


class _Batch(Struct, frozen=True):
    """Goods that are entered by one call; `order_id` is the restock order's id."""

    order_id: str
    items: Sequence[StockItem]


async def price_list_is_empty(pricing_target: str, identity: Identity | None = None) -> bool:
    """Return whether the price list has no product."""
    async with open_channel(pricing_target, identity, identities.PRICING) as channel:
        pricing = stub_of(channel, PRICING)
        request = pri.ListProductsRequest(limit=1)
        reply = await Peer("pricing").call(
            pricing.ListProducts, request, timeout_s=TIMEOUT_S, point="stock.list_products"
        )
    return not reply.products


async def stock_levels(inventory_target: str, skus: Sequence[str], identity: Identity | None = None) -> dict[str, int]:
    """Return the available units by SKU; a SKU unknown to inventory is missing. Raises InDoubt."""
    levels: dict[str, int] = {}
    async with open_channel(inventory_target, identity, identities.INVENTORY) as channel:
        inventory = stub_of(channel, INVENTORY)
        for start in range(0, len(skus), BATCH):
            request = inv.CheckAvailabilityRequest(skus=skus[start : start + BATCH])
            reply = await Peer("inventory").call(
                inventory.CheckAvailability, request, timeout_s=TIMEOUT_S, point="stock.levels"
            )
            levels |= {level.sku: level.available for level in reply.items}
    return levels


async def find_misplaced(
    pricing_target: str, items: Sequence[StockItem], identity: Identity | None = None
) -> dict[str, str]:
    """Return the aisle type in the price list of each product that `items` have in another. Raises InDoubt."""
    wanted = {item.sku: item.aisle_type for item in items}
    misplaced: dict[str, str] = {}
    async with open_channel(pricing_target, identity, identities.PRICING) as channel:
        pricing = stub_of(channel, PRICING)
        cursor = ""
        for _ in range(MAX_PAGES):
            request = pri.ListProductsRequest(limit=PAGE, cursor=cursor)
            reply = await Peer("pricing").call(
                pricing.ListProducts, request, timeout_s=TIMEOUT_S, point="stock.list_products"
            )
            misplaced |= {
                product.sku: product.aisle_type
                for product in reply.products
                if wanted.get(product.sku, product.aisle_type) != product.aisle_type
            }
            cursor = reply.next_cursor
            if not cursor:
                break
    return misplaced


def content_load_id(items: Sequence[StockItem]) -> str:
    """Return the id of the load of these goods: the same for the same goods in any order."""
    content = [msgspec.structs.astuple(item) for item in sorted(items, key=lambda item: item.sku)]
    return str(uuid5(LOADS, msgspec.json.encode(content).decode()))


async def load_stock(
    inventory_target: str,
    pricing_target: str,
    items: Sequence[StockItem],
    identity: Identity | None = None,
    *,
    load_id: str | None = None,
    progress: LoadResult | None = None,
) -> LoadResult:
    """Price the products, then deliver them, each SKU of a `load_id` once (None: a load of its own for each call).

    Counts in `progress`, so that a caller that is interrupted can tell how far it came. Raises StartError if a peer
    refuses or gives no clear answer, or if inventory has other goods under this `load_id`.
    """
    result = progress or LoadResult()
    async with (
        open_channel(inventory_target, identity, identities.INVENTORY) as to_inventory,
        open_channel(pricing_target, identity, identities.PRICING) as to_pricing,
    ):
        pricing = stub_of(to_pricing, PRICING)
        inventory = stub_of(to_inventory, INVENTORY)
        missing = []
        for batch in _batches(load_id or uuid7().hex, items):
            if await _is_entered(inventory, batch):
                result.products_before += len(batch.items)
            else:
                missing.append(batch)
        for batch in missing:
            await _call_with_retries(Peer("pricing"), pricing.UpdateStockMetrics, _price_request(batch.items))
            reply = await _call_with_retries(Peer("inventory"), inventory.RestockItems, _restock_request(batch))
            # Another attempt at the same load may have entered it meanwhile, with the dates of another day.
            if not reply.success and not await _is_entered(inventory, batch):
                raise StartError(f"inventory refused the stock: {reply.message}")
            result.products += len(batch.items)
            result.units += sum(item.quantity for item in batch.items)
    return result


async def _is_entered(inventory: Any, batch: _Batch) -> bool:
    """Return whether inventory has the batch. Raises StartError if it has other goods under the batch's id."""
    request = inv.GetRestockRequest(order_id=batch.order_id)
    reply = await _call_with_retries(Peer("inventory"), inventory.GetRestock, request, point="stock.get_restock")
    if reply.state == inv.GetRestockResponse.UNKNOWN:
        return False
    if {item.sku: item.received for item in reply.items} != {item.sku: item.quantity for item in batch.items}:
        raise StartError("inventory has other goods under this load id: give this load an id of its own")
    return True


async def _call_with_retries(peer: Peer, method: Method, request: Any, point: str = "stock.load") -> Any:
    """Make an idempotent call, up to TRIES times. Raises StartError if no answer is clear."""
    for last in (False,) * (TRIES - 1) + (True,):
        try:
            return await peer.call(method, request, timeout_s=TIMEOUT_S, point=point)
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


def _restock_request(batch: _Batch) -> inv.RestockRequest:
    """Return the request; repeated on the same day in UTC, it is the same to the byte."""
    today = now().date()
    request = inv.RestockRequest(order_id=batch.order_id, supplier_id=SUPPLIER, shelved=True)
    for item in batch.items:
        line = request.items.add(
            sku=item.sku,
            name=item.name,
            aisle_type=item.aisle_type,
            quantity=item.quantity,
            unit_cost_cents=item.unit_cost_cents,
        )
        line.mfd_date.FromDatetime(_midnight(item.mfd_date or today))
        line.expiry_date.FromDatetime(_midnight(item.expiry_date or today + SHELF_LIFE))
    return request


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _batches(load_id: str, items: Sequence[StockItem]) -> list[_Batch]:
    """Return the goods sorted by SKU, BATCH products each."""
    ordered = sorted(items, key=lambda item: item.sku)
    return [
        _Batch(str(uuid5(BATCHES, f"{load_id}/{number}")), ordered[start : start + BATCH])
        for number, start in enumerate(range(0, len(ordered), BATCH))
    ]
