"""Peers to hold to their promises, as the gateway meets them: the reference peers and the fakes, by unary calls and by stream."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct

from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.contracts.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from autogrocery.gateway.core.quote import Want
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.inventory.core.putaway import putaway_id
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.rpc.client import open_channel
from autogrocery.kit.rpc.server import serve
from autogrocery.pricing import rpc as reference
from tests.harness.fake_peers import PRICES, FakeInventory, serve_peers
from tests.harness.running_inventory import Shop
from tests.harness.running_inventory import shop as open_shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ON_HAND = 50
AISLES = {"milk": "dairy", "apple": "produce"}
KINDS = ("reference", "fake")
FORMS = ("unary", "stream")


class Subject(Struct):
    """An inventory with ON_HAND of milk and apple and robots for both; `start` lets robots begin with an order.

    `stub` makes the calls of deliveries, `put_away` lets robots do it: of each SKU so many came, and so many of those damaged.
    """

    inventory: Inventory
    stub: InventoryServiceStub
    shop: Shop | None = None
    fake: FakeInventory | None = None

    async def start(self, order_id: UUID) -> None:
        if self.fake is not None:
            self.fake.started.add(str(order_id))
            return
        assert self.shop is not None
        for robot_id in ("dairy-1", "produce-1"):
            for assignment in await self.shop.work(robot_id):
                assert (await self.shop.start(robot_id, assignment.assignment_id)).granted

    async def put_away(self, restock_id: str, *, done: bool, **counts: tuple[int, int]) -> None:
        if self.fake is not None:
            self.fake.put_away(restock_id, counts, done=done)
            return
        assert self.shop is not None
        for sku, (received, damaged) in counts.items():
            robot_id, putaway = f"{AISLES[sku]}-1", str(putaway_id(UUID(restock_id), AISLES[sku]))
            lease = await self.shop.start(robot_id, putaway)
            assert lease.granted
            await self.shop.put_away(robot_id, putaway, lease.fence, done=done, damaged=damaged, **{sku: received})

    async def free(self) -> int:
        return (await self.inventory.check_availability(["milk"]))["milk"]


@asynccontextmanager
async def open_inventory(kind: str, form: str, dsn: str) -> AsyncIterator[Subject]:
    streams = form == "stream"
    if kind == "fake":
        async with serve_peers() as (fake, _, target), open_channel(target) as channel:
            fake.stock.update({sku: ON_HAND - fake.stock[sku] for sku in PRICES})
            yield Subject(Inventory(channel, streams=streams), InventoryServiceStub(channel), fake=fake)
        return
    async with open_shop(dsn) as shop:
        await shop.fleet()
        await shop.stock(milk=ON_HAND, apple=ON_HAND)
        async with open_channel(shop.target) as channel:
            yield Subject(Inventory(channel, streams=streams), InventoryServiceStub(channel), shop=shop)
        assert await shop.violations() == []


@asynccontextmanager
async def open_pricing(kind: str, form: str, dsn: str) -> AsyncIterator[Pricing]:
    """A pricing that knows PRICES."""
    streams = form == "stream"
    if kind == "fake":
        async with serve_peers() as (_, _, target), open_channel(target) as channel:
            yield Pricing(channel, streams=streams)
        return
    async with open_db(dsn, application="tests") as db:
        served = reference.adder(reference.Pricing(db, currency="USD", margin_percent=30))
        async with (
            serve("PRICING_GRPC_ADDR", "127.0.0.1", 0, served, (reference.SERVICE,)) as port,
            open_channel(f"127.0.0.1:{port}") as channel,
        ):
            updates = [
                pri.StockMetric(sku=sku, name=sku.title(), aisle_type="dairy", unit_price_cents=price)
                for sku, price in PRICES.items()
            ]
            await PricingServiceStub(channel).UpdateStockMetrics(pri.UpdateStockMetricsRequest(updates=updates))
            yield Pricing(channel, streams=streams)


def basket(**quantities: int) -> list[Want]:
    return [Want(sku, quantity) for sku, quantity in sorted(quantities.items())]
