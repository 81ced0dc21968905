"""The reference inventory's actions and loops on real PostgreSQL and ZeroMQ, with a restart that stands for a new
process."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory import loops
from autogrocery.inventory.actions.assign_robots import RobotFilter
from autogrocery.inventory.actions.audit import audit
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.core.restock import RestockLine
from autogrocery.inventory.peers.gateway import Gateway, open_gateway
from autogrocery.inventory.peers.robots import POINT, Announcer
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit import bus
from autogrocery.kit.ids import uuid7
from tests.harness.running_inventory import WEBHOOK_SECRET, GatewayStub, run_gateway_stub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.loops import Loop
    from tests.proofs.enumeration.scenario import Subject

SEEN_S = 3_600.0
OUTBOXES = ("inventory.webhook_outbox", "inventory.restock_webhooks")
ROBOTS = {"dairy-1": "dairy", "bread-1": "bread"}


class InventoryEnvironment(Struct):
    """One inventory process, and what outlives it: the database and the listener of its webhooks."""

    db: Db
    announcer: Announcer
    gateway: Gateway
    listener: GatewayStub
    webhook_loop: Loop
    restock_webhook_loop: Loop
    lapse_loop: Loop
    lot_loop: Loop
    robots: RobotFilter = RobotFilter(SEEN_S, 10_000)
    fences: dict[UUID, int] = {}  # by assignment: the fence of its lease

    async def restart(self) -> None:
        """Replace the loops by new ones, as a new process does."""
        self.webhook_loop, self.lapse_loop = (
            loops.send_order_webhooks_loop(self.db, self.gateway),
            loops.lapse_holds_loop(self.db),
        )
        self.restock_webhook_loop, self.lot_loop = (
            loops.send_restock_webhooks_loop(self.db, self.gateway),
            loops.write_off_lots_loop(self.db),
        )

    async def run_loops(self, _subject: Subject | None = None) -> None:
        for table in OUTBOXES:
            await self.db.run(f"UPDATE {table} SET next_attempt_at = now() WHERE done_at IS NULL")
        for loop in (self.lapse_loop, self.lot_loop, self.webhook_loop, self.restock_webhook_loop):
            await loop._once()

    async def expire_quote(self, subject: Subject) -> None:
        """Make the subject's hold overdue."""
        await self.db.run(
            "UPDATE inventory.orders SET expires_at = now() WHERE order_id = $1 AND state = 'HELD'", subject.order_id
        )

    async def device(self, _device_id: str) -> int:
        return 0

    async def count_owed(self) -> int:
        return sum([len(await self.db.rows(f"SELECT FROM {table} WHERE done_at IS NULL")) for table in OUTBOXES])

    async def violations(self) -> list[str]:
        return [f"{one.name}: {one.examples}" for one in await audit(self.db) if one.violations]


@asynccontextmanager
async def open_inventory_environment(db: Db) -> AsyncIterator[InventoryEnvironment]:
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(run_gateway_stub())
        gateway = await stack.enter_async_context(open_gateway(listener.url, WEBHOOK_SECRET.encode()))
        publisher = await stack.enter_async_context(
            bus.open_publisher("ROBOTS_ZMQ_ADDR", "tcp://127.0.0.1:*", point=POINT)
        )
        made = InventoryEnvironment(
            db,
            Announcer(publisher),
            gateway,
            listener,
            loops.send_order_webhooks_loop(db, gateway),
            loops.send_restock_webhooks_loop(db, gateway),
            loops.lapse_holds_loop(db),
            loops.write_off_lots_loop(db),
        )
        goods = [
            RestockLine("milk", "Milk", "dairy", 100_000, 90, None, None),
            RestockLine("bread", "Bread", "bread", 100_000, 90, None, None),
        ]
        assert await restock_items(db, PollCache(), made.announcer, uuid7(), "farm", goods, shelved=True) is None
        for robot_id, robot_class in ROBOTS.items():
            await list_work(db, PollCache(), robot_id, robot_class, 1, seen_s=SEEN_S)
        yield made
