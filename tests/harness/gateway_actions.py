"""The gateway's actions without its listeners: on real PostgreSQL, with fake peers over real gRPC, for one device."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct, field

from autogrocery.contracts.analytics.metric import OrderMetric, decode
from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.preview import preview, preview_request
from autogrocery.gateway.core.alert_policy import AlertPolicy
from autogrocery.gateway.core.order import Fact, Order, Status
from autogrocery.gateway.core.quote import RequestedItem
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.metrics import Metrics
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import metrics_log, orders
from autogrocery.gateway.store.order_store import OrderCache, OrderStore
from autogrocery.kit.rpc.channel import open_channel
from tests.harness.fake_peers import FakeInventory, FakePricing, serve_peers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.gateway.core.order import WebhookDelivery
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.rpc.client_call import Caller

HASH = "$2b$10$" + "x" * 53


class RecordingPublisher(Struct):
    """Keeps the decoded metrics instead of publishing them over ZeroMQ."""

    frames: list[OrderMetric]

    async def post(self, frame: bytes) -> bool:
        self.frames.append(decode(frame))
        return True


class GatewayActions(Struct):
    """The ports of a gateway and the user id of one device; each method runs an action for that device."""

    db: Db
    inventory: Inventory
    pricing: Pricing
    metrics: Metrics
    fake_inventory: FakeInventory
    fake_pricing: FakePricing
    sent: list[OrderMetric]
    user_id: int
    channel: Caller
    target: str
    cache: OrderCache = field(default_factory=OrderCache)

    @property
    def store(self) -> OrderStore:
        return OrderStore(self.db, self.cache)

    async def preview(self, *, key: str | None = None, ttl_s: int = 120, partial: bool = False, **items: int) -> Order:
        asked = preview_request(
            self.user_id,
            [RequestedItem(sku, n) for sku, n in (items or {"milk": 2}).items()],
            allow_partial=partial,
            key=key,
        )
        done = await preview(self.store, self.inventory, self.pricing, self.metrics, asked, ttl_s=ttl_s)
        return done.order

    async def confirm(self, order_id: UUID) -> tuple[Order, bool]:
        done = await confirm(self.store, self.inventory, self.metrics, self.user_id, order_id)
        return done.order, not done.in_doubt

    async def cancel(self, order_id: UUID) -> tuple[Order, bool]:
        done = await cancel(self.store, self.inventory, self.metrics, self.user_id, order_id)
        return done.order, not done.in_doubt

    async def complete(
        self,
        order_id: UUID,
        fact: Fact = Fact.PICKED,
        picked: dict[str, int] | None = None,
        delivery: WebhookDelivery | None = None,
        *,
        alert_completed: bool = False,
    ) -> tuple[bool, Status]:
        store = OrderStore(self.db, self.cache, AlertPolicy(alert_full=alert_completed))
        done = await complete(store, self.inventory, self.metrics, order_id, fact, picked=picked, delivery=delivery)
        return done.applied, done.status

    async def order(self, order_id: UUID) -> Order:
        found = await orders.get(self.db, order_id)
        assert found is not None
        return found

    async def path(self, order_id: UUID) -> list[str]:
        """Return the statuses that the order has had, oldest first."""
        return [event.to_status.value for event in await orders.list_events(self.db, order_id)]


@asynccontextmanager
async def open_gateway_actions(db: Db, device_id: str = "fridge-1") -> AsyncIterator[GatewayActions]:
    """Open the ports and register the device; at the end no invariant may be violated."""
    async with AsyncExitStack() as stack:
        fake_inventory, fake_pricing, target = await stack.enter_async_context(serve_peers())
        channel = await stack.enter_async_context(open_channel(target))
        sent: list[OrderMetric] = []
        metrics = Metrics(RecordingPublisher(sent), "mart-test")  # type: ignore[arg-type]
        await metrics_log.add_epoch(db, metrics.epoch)
        user_id = await add_device(db, device_id)
        yield GatewayActions(
            db,
            Inventory(channel),
            Pricing(channel),
            metrics,
            fake_inventory,
            fake_pricing,
            sent,
            user_id,
            channel,
            target,
        )
    found = [invariant for invariant in (await audit(db)).invariants if invariant.violations]
    assert not found


async def add_device(db: Db, device_id: str) -> int:
    """Insert a device with the seed's columns; returns its user id."""
    row = await db.row("INSERT INTO smart_devices (device_id, password) VALUES ($1, $2) RETURNING id", device_id, HASH)
    assert row is not None
    user_id: int = row["id"]
    return user_id
