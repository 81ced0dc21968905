"""A whole mart in one process: gateway, inventory and pricing as they are, on real PostgreSQL. The test is its robots."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from msgspec import Struct

from autogrocery.cli.whole_audit import audit_all
from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.gateway import app
from autogrocery.inventory.settings import Settings
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.rpc.server import serve
from autogrocery.lab.demand.demand import StockItem
from autogrocery.lab.ports import free_ports
from autogrocery.lab.replay.stocking import load_stock
from autogrocery.pricing import rpc as pricing
from tests.harness import running_inventory as inventory
from tests.harness.fake_peers import FakeInventory, FakePricing
from tests.harness.running_gateway import PATIENCE_S, WEBHOOK_KEYS, Device, Shop, environ, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

PRODUCTS = (("milk", "dairy", 129), ("yoghurt", "dairy", 89), ("baguette", "bread", 249), ("apple", "produce", 45))
ON_HAND = 50
LEASE_S, SEEN_S = 5.0, 600.0


class Mart(Struct):
    """The gateway's doors, inventory as its robots see it, both databases, and where receipts lie."""

    doors: Shop
    floor: inventory.Shop
    gateway_dsn: str
    inventory_db: Db
    pricing_target: str
    inventory_target: str
    receipts: Path
    close_pricing: Callable[[], Awaitable[None]]

    async def device(self, email: str | None = "kitchen@mart.example") -> Device:
        """A registered device of somebody with an address."""
        device = await self.doors.device()
        await self.doors.db.run("UPDATE smart_devices SET email = $1 WHERE id = $2", email, device.user_id)
        return device

    async def stock(self, price_change_cents: int = 0, **quantities: int) -> None:
        """Deliver goods, as `stock load` does, at today's price or another."""
        items = [
            StockItem(sku, sku.title(), aisle, price + price_change_cents, price // 2, quantities[sku])  # type: ignore[arg-type]
            for sku, aisle, price in PRODUCTS
            if sku in quantities
        ]
        await load_stock(self.inventory_target, self.pricing_target, items)

    async def available(self, *skus: str) -> dict[str, int]:
        """Return what inventory would sell."""
        answer = await self.floor.stub.CheckAvailability(pb.CheckAvailabilityRequest(skus=skus))
        return {level.sku: level.available for level in answer.items}

    async def assignments(self, order_id: str) -> dict[str, Any]:
        """Return a dispatched order's assignments by class."""
        order = await self.inventory_db.rows(
            "SELECT assignment_id, robot_id, robot_class FROM inventory.assignments WHERE order_id = $1", order_id
        )
        return {row["robot_class"]: row for row in order}

    async def start(self, order_id: str, robot_class: str) -> tuple[str, str, int]:
        """Let the robot of a class start; returns it, its assignment and its fence."""
        one = (await self.assignments(order_id))[robot_class]
        robot_id, assignment_id = one["robot_id"], str(one["assignment_id"])
        lease = await self.floor.start(robot_id, assignment_id)
        assert lease.granted
        return robot_id, assignment_id, lease.fence

    async def pick(self, order_id: str, robot_class: str, status: int = inventory.Picked.PICKED, **picks: int) -> None:
        """Let the robot of a class start and report."""
        await self.floor.report(*await self.start(order_id, robot_class), status, **picks)

    async def shrink(self, sku: str) -> int:
        """Return what the ledger has written off of a SKU, as a negative number."""
        row = await self.inventory_db.row(
            "SELECT coalesce(sum(delta), 0) AS lost FROM inventory.ledger WHERE cause = 'shrink' AND sku = $1", sku
        )
        assert row is not None
        lost: int = row["lost"]
        return lost

    async def violated(self) -> dict[str, str]:
        """Return what the audit of both databases finds, by invariant."""
        found = await audit_all(self.gateway_dsn, self.floor.settings.database_url)
        return {one.name: f"{part}: {one.examples}" for part, one in found if one.violations}

    async def receipt(self, order_id: str) -> str:
        """Wait for an order's receipt and return its text."""
        file = self.receipts / f"{order_id}.eml"

        async def is_there() -> bool:
            return file.exists()

        await until(is_there)
        return file.read_text(encoding="utf-8")


@asynccontextmanager
async def open_mart(dsns: tuple[str, str, str], home: Path, **settings: str) -> AsyncIterator[Mart]:
    """Open everything on the databases of gateway, inventory and pricing; what it leaves behind is audited, gateway and inventory against each other."""
    public, internal, stock, bus = free_ports(4)
    ours, theirs, prices = dsns
    secrets = {"ROBOT_JWT_SECRET": inventory.ROBOT_SECRET, "WEBHOOK_SECRET": WEBHOOK_KEYS[0]}
    async with AsyncExitStack() as stack:
        price_db = await stack.enter_async_context(open_db(prices, application="pricing"))
        served = pricing.adder(pricing.Pricing(price_db, currency="USD", margin_percent=30))
        prices_open = await stack.enter_async_context(AsyncExitStack())
        price_port = await prices_open.enter_async_context(
            serve("PRICING_GRPC_ADDR", "127.0.0.1", 0, served, (pricing.SERVICE,))
        )
        targets = f"127.0.0.1:{stock}", f"127.0.0.1:{price_port}"
        told = Settings(
            webhook_secret=WEBHOOK_KEYS[0],
            robot_jwt_secret=inventory.ROBOT_SECRET,
            inventory_grpc_addr=targets[0],
            robots_zmq_addr=f"tcp://127.0.0.1:{bus}",
            gateway_webhook_url=f"http://127.0.0.1:{internal}",
            database_url=theirs,
            pick_lease_s=LEASE_S,
            robot_seen_s=SEEN_S,
        )
        db = await stack.enter_async_context(open_db(theirs, application="tests"))
        floor = inventory.Shop(told, db, inventory.Listener())  # whose listener hears nothing: the gateway does
        await floor.up()
        stack.push_async_callback(floor.down)
        stop = asyncio.Event()
        variables = environ(
            ours,
            targets[0],
            public,
            internal,
            PRICING_GRPC_TARGET=targets[1],
            AUTOGROCERY_HOME=str(home),
            **secrets,
            **settings,
        )
        running = asyncio.create_task(app.main(variables, stop))
        doors = await _doors(stack, ours, public, internal, running)
        mart = Mart(doors, floor, ours, db, targets[1], targets[0], home / "receipts", prices_open.aclose)
        await floor.fleet()
        await mart.stock(**{sku: ON_HAND for sku, _, _ in PRODUCTS})
        yield mart
        found = await mart.violated()
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await running
    assert found == {}


async def _doors(stack: AsyncExitStack, dsn: str, public: int, internal: int, running: asyncio.Task[None]) -> Shop:
    """Return the gateway's doors once they are open."""
    db = await stack.enter_async_context(open_db(dsn, application="tests"))
    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)))
    urls = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}"
    doors = Shop(*urls, db, FakeInventory(), FakePricing(), session)  # the fakes stand idle: here the peers are real

    async def ready() -> bool:
        if running.done():
            running.result()
        try:
            return (await doors.ask("GET", "/readyz")).status == 200
        except aiohttp.ClientConnectionError:
            return False

    await until(ready)
    return doors
