"""The gateway's restock actions for one truck, on top of `GatewayActions`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.gateway.actions.restock import restock
from autogrocery.gateway.actions.update_restock import update_restock
from autogrocery.gateway.core.restock import (
    Goods,
    Manifest,
    Restock,
    RestockFact,
    RestockStatus,
    is_answered,
    restock_id_of,
)
from autogrocery.gateway.store import restocks
from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from tests.harness.gateway_actions import HASH

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.order import WebhookDelivery
    from autogrocery.kit.pg.db import Db
    from tests.harness.gateway_actions import GatewayActions

TODAY = now().date()
MILK = Goods("milk", "Milk", "dairy", 20, TODAY - timedelta(days=1), TODAY + timedelta(days=9), 90)
BREAD = Goods("bread", "Bread", "bread", 5, TODAY, TODAY + timedelta(days=3), 120)


def goods(**changes: Any) -> Goods:
    return replace(MILK, **changes)


class TruckActions(Struct):
    """The user id of a truck and its supplier; each method runs an action for that truck."""

    gateway: GatewayActions
    truck_id: int
    supplier_id: str

    def manifest(self, number: str | None = "m-1", *brought: Goods, supplier_id: str | None = None) -> Manifest:
        return Manifest(supplier_id or self.supplier_id, "Acme", number, brought or (MILK, BREAD))

    async def restock(self, what: Manifest, key: str | None = None, *, truck_id: int | None = None) -> str:
        """Announce a restock; returns the route's status code and what follows from it: `201 RECEIVING`, `202
        in_doubt`."""
        gateway = self.gateway
        done = await restock(
            gateway.db, gateway.inventory, gateway.pricing, gateway.metrics, truck_id or self.truck_id, what, key
        )
        found = done.restock
        if not is_answered(found):
            return f"202 {found.dispatch}"
        return f"{200 if done.replayed else 201} {found.status}"

    async def update(
        self,
        order_id: UUID,
        fact: RestockFact,
        counts: dict[str, tuple[int, int]],
        delivery: WebhookDelivery | None = None,
    ) -> tuple[bool, RestockStatus]:
        done = await update_restock(self.gateway.db, self.gateway.metrics, order_id, fact, counts, delivery=delivery)
        return done.applied, done.status

    def id_of(self, what: Manifest, key: str | None = None) -> UUID:
        return restock_id_of(self.truck_id, what, key)

    async def row(self, order_id: UUID) -> Restock:
        found = await restocks.get(self.gateway.db, order_id)
        assert found is not None
        return found

    async def path(self, order_id: UUID) -> list[str]:
        return [event.to_status.value for event in await restocks.list_events(self.gateway.db, order_id)]

    def published(self, order_id: UUID) -> list[str]:
        """Return the statuses in the published metrics of the restock, by version."""
        found = [one for one in self.gateway.sent if one.order_id == str(order_id)]
        return [one.status for one in sorted(found, key=lambda one: one.version)]


async def open_truck(gateway: GatewayActions) -> TruckActions:
    """Register a truck of a new supplier."""
    supplier_id = f"acme-{uuid7().hex}"
    return TruckActions(gateway, await add_truck(gateway.db, supplier_id), supplier_id)


async def add_truck(db: Db, supplier_id: str | None) -> int:
    """Insert a truck of a supplier; returns its user id."""
    row = await db.row(
        "INSERT INTO smart_devices (device_id, password, kind, supplier_id) VALUES ($1, $2, 'truck', $3) RETURNING id",
        f"truck-{uuid7().hex}",
        HASH,
        supplier_id,
    )
    assert row is not None
    user_id: int = row["id"]
    return user_id
