"""The reference inventory's insides on real PostgreSQL and ZeroMQ, in a process that can die and come back."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory import loops
from autogrocery.inventory.actions.assign_robots import Robots
from autogrocery.inventory.actions.audit import audit
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.core.delivery import Delivered
from autogrocery.inventory.peers.gateway import Gateway, open_gateway
from autogrocery.inventory.peers.robots import POINT, Announcer
from autogrocery.kit import bus
from autogrocery.kit.process.clock import uuid7
from tests.harness.running_inventory import WEBHOOK_SECRET, Listener, listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.loops import Loop
    from tests.proofs.enumeration.deeds import Subject

SEEN_S = 3_600.0
OUTBOXES = ("inventory.webhook_outbox", "inventory.restock_webhooks")
ROBOTS = {"dairy-1": "dairy", "bread-1": "bread"}


class InventoryStage(Struct):
    """One inventory process, the gateway that hears its webhooks, and the database that outlives it."""

    db: Db
    announcer: Announcer
    gateway: Gateway
    heard: Listener
    telling: Loop
    of_restocks: Loop
    lapsing: Loop
    settling: Loop
    robots: Robots = Robots(SEEN_S, 10_000)
    fences: dict[UUID, int] = {}  # by assignment: what its robot was given at the start

    async def restart(self) -> None:
        """The next process: loops that remember nothing."""
        self.telling, self.lapsing = loops.telling(self.db, self.gateway), loops.lapsing(self.db)
        self.of_restocks, self.settling = loops.telling_of_restocks(self.db, self.gateway), loops.settling(self.db)

    async def sweep(self, _one: Subject | None = None) -> None:
        for table in OUTBOXES:
            await self.db.run(f"UPDATE {table} SET next_attempt_at = now() WHERE done_at IS NULL")
        for loop in (self.lapsing, self.settling, self.telling, self.of_restocks):
            await loop._once()

    async def time_passes(self, one: Subject) -> None:
        """A hold is past its time."""
        await self.db.run(
            "UPDATE inventory.orders SET expires_at = now() WHERE order_id = $1 AND state = 'HELD'", one.order_id
        )

    async def device(self, _device_id: str) -> int:
        return 0

    async def owed(self) -> int:
        return sum([len(await self.db.rows(f"SELECT FROM {table} WHERE done_at IS NULL")) for table in OUTBOXES])

    async def violations(self) -> list[str]:
        return [f"{one.name}: {one.examples}" for one in await audit(self.db) if one.violations]


@asynccontextmanager
async def open_inventory_stage(db: Db) -> AsyncIterator[InventoryStage]:
    async with AsyncExitStack() as stack:
        heard = await stack.enter_async_context(listening())
        gateway = await stack.enter_async_context(open_gateway(heard.url, WEBHOOK_SECRET.encode()))
        publisher = await stack.enter_async_context(
            bus.open_publisher("ROBOTS_ZMQ_ADDR", "tcp://127.0.0.1:*", point=POINT)
        )
        made = InventoryStage(
            db,
            Announcer(publisher),
            gateway,
            heard,
            loops.telling(db, gateway),
            loops.telling_of_restocks(db, gateway),
            loops.lapsing(db),
            loops.settling(db),
        )
        goods = [
            Delivered("milk", "Milk", "dairy", 100_000, 90, None, None),
            Delivered("bread", "Bread", "bread", 100_000, 90, None, None),
        ]
        assert await restock_items(db, made.announcer, uuid7(), "farm", goods, shelved=True) is None
        for robot_id, robot_class in ROBOTS.items():
            await list_work(db, robot_id, robot_class, 1, seen_s=SEEN_S)
        yield made
