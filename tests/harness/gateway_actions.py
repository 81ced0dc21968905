"""The gateway's ports and one device, with the actions a call away: what the tests of actions share."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.analytics.metric import OrderMetric, decode
from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.preview import basket, preview
from autogrocery.gateway.core.order import Fact, Order, Status
from autogrocery.gateway.core.quote import Want
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import metrics_log, orders
from autogrocery.kit.rpc.client import open_channel
from tests.harness.fake_peers import FakeInventory, FakePricing, serve_peers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import grpc.aio

    from autogrocery.gateway.store.moves import Delivery
    from autogrocery.kit.pg.db import Db

HASH = "$2b$10$" + "x" * 53


class Wire(Struct):
    """Stands where the ZeroMQ publisher stands, and keeps what is sent."""

    frames: list[OrderMetric]

    async def publish(self, frame: bytes) -> bool:
        self.frames.append(decode(frame))
        return True


class House(Struct):
    """The gateway's ports, and one device, with its actions a call away."""

    db: Db
    inventory: Inventory
    pricing: Pricing
    metrics: Metrics
    shelf: FakeInventory
    prices: FakePricing
    sent: list[OrderMetric]
    user_id: int
    channel: grpc.aio.Channel
    target: str

    async def preview(self, *, key: str | None = None, ttl_s: int = 120, partial: bool = False, **items: int) -> Order:
        asked = basket(
            self.user_id, [Want(sku, n) for sku, n in (items or {"milk": 2}).items()], allow_partial=partial, key=key
        )
        order, _ = await preview(self.db, self.inventory, self.pricing, self.metrics, asked, ttl_s=ttl_s)
        return order

    async def confirm(self, order_id: UUID) -> tuple[Order, bool]:
        return await confirm(self.db, self.inventory, self.metrics, self.user_id, order_id)

    async def cancel(self, order_id: UUID) -> tuple[Order, bool]:
        return await cancel(self.db, self.inventory, self.metrics, self.user_id, order_id)

    async def complete(
        self,
        order_id: UUID,
        fact: Fact = Fact.PICKED,
        picked: dict[str, int] | None = None,
        delivery: Delivery | None = None,
        *,
        alert_completed: bool = False,
    ) -> tuple[bool, Status]:
        return await complete(
            self.db,
            self.inventory,
            self.metrics,
            order_id,
            fact,
            picked=picked,
            delivery=delivery,
            alert_completed=alert_completed,
        )

    async def order(self, order_id: UUID) -> Order:
        found = await orders.get(self.db, order_id)
        assert found is not None
        return found

    async def path(self, order_id: UUID) -> list[str]:
        return [event.to_status.value for event in await orders.list_events(self.db, order_id)]


@asynccontextmanager
async def open_house(db: Db, device_id: str = "fridge-1") -> AsyncIterator[House]:
    """Open a gateway's insides on real PostgreSQL and real gRPC; what is left behind is audited."""
    async with AsyncExitStack() as stack:
        shelf, prices, target = await stack.enter_async_context(serve_peers())
        channel = await stack.enter_async_context(open_channel(target))
        sent: list[OrderMetric] = []
        metrics = Metrics(Wire(sent), "mart-test")  # type: ignore[arg-type]
        await metrics_log.add_epoch(db, metrics.epoch)
        user_id = await add_device(db, device_id)
        yield House(db, Inventory(channel), Pricing(channel), metrics, shelf, prices, sent, user_id, channel, target)
    found = [invariant for invariant in (await audit(db)).invariants if invariant.violations]
    assert not found


async def add_device(db: Db, device_id: str) -> int:
    """Write a device with the seed's columns; returns its user id."""
    row = await db.row("INSERT INTO smart_devices (device_id, password) VALUES ($1, $2) RETURNING id", device_id, HASH)
    assert row is not None
    user_id: int = row["id"]
    return user_id
