"""A truck at the gateway's back door, with its actions a call away: what the tests of restocks share."""

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
    is_settled,
    restock_id_of,
)
from autogrocery.gateway.store import restocks
from autogrocery.kit.process.clock import now, uuid7
from tests.harness.gateway_actions import HASH

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.store.moves import Delivery
    from autogrocery.kit.pg.db import Db
    from tests.harness.gateway_actions import House

TODAY = now().date()
MILK = Goods("milk", "Milk", "dairy", 20, TODAY - timedelta(days=1), TODAY + timedelta(days=9), 90)
BREAD = Goods("bread", "Bread", "bread", 5, TODAY, TODAY + timedelta(days=3), 120)


def goods(**changes: Any) -> Goods:
    return replace(MILK, **changes)


class Depot(Struct):
    """A house with a truck before it, the first of its supplier."""

    house: House
    truck_id: int
    supplier_id: str

    def manifest(self, number: str | None = "m-1", *brought: Goods, supplier_id: str | None = None) -> Manifest:
        return Manifest(supplier_id or self.supplier_id, "Acme", number, brought or (MILK, BREAD))

    async def restock(self, what: Manifest, key: str | None = None, *, truck_id: int | None = None) -> str:
        """Announce; the answer in the words of the door: `201 RECEIVING`, `202 in_doubt`."""
        house = self.house
        found, replayed = await restock(
            house.db, house.inventory, house.pricing, house.metrics, truck_id or self.truck_id, what, key
        )
        if not is_settled(found):
            return f"202 {found.dispatch}"
        return f"{200 if replayed else 201} {found.status}"

    async def update(
        self, order_id: UUID, fact: RestockFact, counts: dict[str, tuple[int, int]], delivery: Delivery | None = None
    ) -> tuple[bool, RestockStatus]:
        return await update_restock(self.house.db, self.house.metrics, order_id, fact, counts, delivery=delivery)

    def id_of(self, what: Manifest, key: str | None = None) -> UUID:
        return restock_id_of(self.truck_id, what, key)

    async def row(self, order_id: UUID) -> Restock:
        found = await restocks.get(self.house.db, order_id)
        assert found is not None
        return found

    async def path(self, order_id: UUID) -> list[str]:
        return [event.to_status.value for event in await restocks.list_events(self.house.db, order_id)]

    def told(self, order_id: UUID) -> list[str]:
        """What was published of it, in the order of its versions."""
        found = [one for one in self.house.sent if one.order_id == str(order_id)]
        return [one.status for one in sorted(found, key=lambda one: one.version)]


async def open_depot(house: House) -> Depot:
    """Bring a truck of a new supplier."""
    supplier_id = f"acme-{uuid7().hex}"
    return Depot(house, await add_truck(house.db, supplier_id), supplier_id)


async def add_truck(db: Db, supplier_id: str | None) -> int:
    """Write a truck of a supplier; returns its user id."""
    row = await db.row(
        "INSERT INTO smart_devices (device_id, password, kind, supplier_id) VALUES ($1, $2, 'truck', $3) RETURNING id",
        f"truck-{uuid7().hex}",
        HASH,
        supplier_id,
    )
    assert row is not None
    user_id: int = row["id"]
    return user_id
