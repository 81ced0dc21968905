"""A mart in this process: gateway, inventory and pricing as they run in production, on real PostgreSQL. The test plays
the robots."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autogrocery.cli.network_audit import audit_all
from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.gateway import app
from autogrocery.inventory.settings import Settings
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.rpc.server import serve
from autogrocery.lab.demand.demand import StockItem
from autogrocery.lab.ports import free_ports
from autogrocery.lab.replay.stocking import load_stock
from autogrocery.notifier import app as notifier
from autogrocery.pricing import rpc as pricing
from tests.harness import running_inventory
from tests.harness.fake_peers import FakeInventory, FakePricing
from tests.harness.running_gateway import (
    TIMEOUT_S,
    WEBHOOK_KEYS,
    Device,
    RunningGateway,
    connect,
    environ,
    wait_until_ready,
)
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

PRODUCTS = (("milk", "dairy", 129), ("yoghurt", "dairy", 89), ("baguette", "bread", 249), ("apple", "produce", 45))
ON_HAND = 50
LEASE_S, SEEN_S = 5.0, 600.0


class Mart(Struct):
    """The running gateway and inventory, their databases and addresses, and the directory of receipts."""

    gateway: RunningGateway
    inventory: running_inventory.RunningInventory
    gateway_dsn: str
    inventory_db: Db
    pricing_target: str
    inventory_target: str
    receipts: Path
    close_pricing: Callable[[], Awaitable[None]]

    async def device(self, email: str | None = "kitchen@mart.example") -> Device:
        """Register a device with this e-mail address."""
        device = await self.gateway.device()
        await self.gateway.db.run("UPDATE smart_devices SET email = $1 WHERE id = $2", email, device.user_id)
        return device

    async def stock(self, price_change_cents: int = 0, **quantities: int) -> None:
        """Stock goods as `stock load` does, at the price of PRODUCTS plus `price_change_cents`."""
        items = [
            StockItem(sku, sku.title(), aisle, price + price_change_cents, price // 2, quantities[sku])  # type: ignore[arg-type]
            for sku, aisle, price in PRODUCTS
            if sku in quantities
        ]
        await load_stock(self.inventory_target, self.pricing_target, items)

    async def available(self, *skus: str) -> dict[str, int]:
        """Return the available units by SKU, as inventory reports them."""
        reply = await self.inventory.stub.CheckAvailability(pb.CheckAvailabilityRequest(skus=skus))
        return {level.sku: level.available for level in reply.items}

    async def assignments(self, order_id: str) -> dict[str, Any]:
        """Return a dispatched order's assignments by robot class."""
        rows = await self.inventory_db.rows(
            "SELECT assignment_id, robot_id, robot_class FROM inventory.assignments WHERE order_id = $1", order_id
        )
        return {row["robot_class"]: row for row in rows}

    async def start(self, order_id: str, robot_class: str) -> tuple[str, str, int]:
        """Start the assignment of a robot class as its robot; returns robot_id, assignment_id and fence."""
        assignment = (await self.assignments(order_id))[robot_class]
        robot_id, assignment_id = assignment["robot_id"], str(assignment["assignment_id"])
        lease = await self.inventory.start(robot_id, assignment_id)
        assert lease.granted
        return robot_id, assignment_id, lease.fence

    async def pick(
        self, order_id: str, robot_class: str, status: int = running_inventory.Picked.PICKED, **picks: int
    ) -> None:
        """Start the assignment of a robot class and report its picks, as its robot."""
        await self.inventory.report(*await self.start(order_id, robot_class), status, **picks)

    async def shrink(self, sku: str) -> int:
        """Return the units of a SKU that the ledger has written off, as a negative number."""
        row = await self.inventory_db.row(
            "SELECT coalesce(sum(delta), 0) AS lost FROM inventory.ledger WHERE cause = 'shrink' AND sku = $1", sku
        )
        assert row is not None
        lost: int = row["lost"]
        return lost

    async def violated(self) -> dict[str, str]:
        """Return the violated invariants by name: each database's own and those between the two."""
        found = await audit_all(self.gateway_dsn, self.inventory.settings.database_url)
        return {one.name: f"{part}: {one.examples}" for part, one in found if one.violations}

    async def receipt(self, order_id: str) -> str:
        """Wait for an order's receipt and return its text."""
        file = self.receipts / f"{order_id}.eml"
        await until(file.exists, TIMEOUT_S)
        return file.read_text(encoding="utf-8")


@asynccontextmanager
async def open_mart(dsns: tuple[str, str, str], home: Path, **settings: str) -> AsyncIterator[Mart]:
    """Run a mart on the databases of gateway, inventory and pricing; at the end no invariant may be violated."""
    *ports, inventory_port, robots_port = free_ports(4)
    gateway_dsn, inventory_dsn, pricing_dsn = dsns
    inventory_target = f"127.0.0.1:{inventory_port}"
    async with AsyncExitStack() as stack:
        pricing_db = await stack.enter_async_context(open_db(pricing_dsn, application="pricing"))
        methods = pricing.methods(pricing.Pricing(pricing_db, currency="USD", margin_percent=30))
        pricing_stack = await stack.enter_async_context(AsyncExitStack())
        pricing_port = await pricing_stack.enter_async_context(serve("PRICING_GRPC_ADDR", "127.0.0.1", 0, methods))
        pricing_target = f"127.0.0.1:{pricing_port}"
        inventory_db = await stack.enter_async_context(open_db(inventory_dsn, application="tests"))
        inventory_settings = Settings(
            webhook_secret=WEBHOOK_KEYS[0],
            robot_jwt_secret=running_inventory.ROBOT_SECRET,
            inventory_grpc_addr=inventory_target,
            robots_zmq_addr=f"tcp://127.0.0.1:{robots_port}",
            gateway_webhook_url=f"http://127.0.0.1:{ports[1]}",
            database_url=inventory_dsn,
            pick_lease_s=LEASE_S,
            robot_seen_s=SEEN_S,
        )
        unused = running_inventory.GatewayStub()  # inventory sends its webhooks to the real gateway
        inventory = running_inventory.RunningInventory(inventory_settings, inventory_db, unused)
        await inventory.up()
        stack.push_async_callback(inventory.down)
        stop = asyncio.Event()
        variables = environ(
            gateway_dsn,
            inventory_target,
            *ports,
            PRICING_GRPC_TARGET=pricing_target,
            ROBOT_JWT_SECRET=running_inventory.ROBOT_SECRET,
            WEBHOOK_SECRET=WEBHOOK_KEYS[0],
            **settings,
        )
        running = asyncio.create_task(app.main(variables, stop))
        notified = asyncio.create_task(
            notifier.main({"DATABASE_URL": gateway_dsn, "AUTOGROCERY_HOME": str(home)}, stop)
        )
        gateway = await stack.enter_async_context(
            connect(gateway_dsn, ports, FakeInventory(), FakePricing())
        )  # unused fakes
        await wait_until_ready(gateway, running)
        mart = Mart(
            gateway,
            inventory,
            gateway_dsn,
            inventory_db,
            pricing_target,
            inventory_target,
            home / "receipts",
            pricing_stack.aclose,
        )
        await inventory.fleet()
        await mart.stock(**{sku: ON_HAND for sku, _, _ in PRODUCTS})
        yield mart
        violated = await mart.violated()
        stop.set()
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(running, notified)
    assert violated == {}
