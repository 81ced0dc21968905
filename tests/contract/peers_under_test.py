"""The peers that the contract tests call: the reference peers and the fakes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct

from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.gateway.core.quote import RequestedItem
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.inventory.core.putaway import putaway_id
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.server import serve
from autogrocery.pricing import rpc as pricing_rpc
from tests.harness.fake_peers import PRICES, FakeInventory, serve_peers
from tests.harness.grpc_client import INVENTORY, PRICING, patient_stub
from tests.harness.running_inventory import RunningInventory, run_inventory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ON_HAND = 50
AISLES = {"milk": "dairy", "apple": "produce"}
KINDS = ("reference", "fake")


class Subject(Struct):
    """An inventory with ON_HAND units of milk and apple and robots for both.

    `stub` makes the calls about restock orders. `start` starts an order's assignments; `put_away` reports putaways, by
    SKU the units received and damaged.
    """

    inventory: Inventory
    stub: Any
    reference: RunningInventory | None = None
    fake: FakeInventory | None = None

    async def start(self, order_id: UUID) -> None:
        if self.fake is not None:
            self.fake.started.add(str(order_id))
            return
        assert self.reference is not None
        for robot_id in ("dairy-1", "produce-1"):
            for assignment in await self.reference.work(robot_id):
                assert (await self.reference.start(robot_id, assignment.assignment_id)).granted

    async def put_away(self, restock_id: str, *, done: bool, **counts: tuple[int, int]) -> None:
        if self.fake is not None:
            self.fake.put_away(restock_id, counts, done=done)
            return
        assert self.reference is not None
        for sku, (received, damaged) in counts.items():
            robot_id, putaway = f"{AISLES[sku]}-1", str(putaway_id(UUID(restock_id), AISLES[sku]))
            lease = await self.reference.start(robot_id, putaway)
            assert lease.granted
            await self.reference.put_away(robot_id, putaway, lease.fence, done=done, damaged=damaged, **{sku: received})

    async def free(self) -> int:
        return (await self.inventory.check_availability(["milk"]))["milk"]


@asynccontextmanager
async def open_inventory(kind: str, dsn: str) -> AsyncIterator[Subject]:
    if kind == "fake":
        async with serve_peers() as (fake, _, target), open_channel(target) as channel:
            fake.stock.update({sku: ON_HAND - fake.stock[sku] for sku in PRICES})
            inventory = Inventory(channel)
            yield Subject(inventory, patient_stub(channel, INVENTORY), fake=fake)
        return
    async with run_inventory(dsn) as reference:
        await reference.fleet()
        await reference.stock(milk=ON_HAND, apple=ON_HAND)
        async with open_channel(reference.target) as channel:
            inventory = Inventory(channel)
            yield Subject(inventory, patient_stub(channel, INVENTORY), reference=reference)
        assert await reference.violations() == []


@asynccontextmanager
async def open_pricing(kind: str, dsn: str) -> AsyncIterator[Pricing]:
    """A pricing service with the products of PRICES."""
    if kind == "fake":
        async with serve_peers() as (_, _, target), open_channel(target) as channel:
            yield Pricing(channel)
        return
    async with open_db(dsn, application="tests") as db:
        served = pricing_rpc.methods(pricing_rpc.Pricing(db, currency="USD", margin_percent=30))
        async with (
            serve("PRICING_GRPC_ADDR", "127.0.0.1", 0, served) as port,
            open_channel(f"127.0.0.1:{port}") as channel,
        ):
            updates = [
                pri.StockMetric(sku=sku, name=sku.title(), aisle_type="dairy", unit_price_cents=price)
                for sku, price in PRICES.items()
            ]
            await patient_stub(channel, PRICING).UpdateStockMetrics(pri.UpdateStockMetricsRequest(updates=updates))
            yield Pricing(channel)


def basket(**quantities: int) -> list[RequestedItem]:
    return [RequestedItem(sku, quantity) for sku, quantity in sorted(quantities.items())]
