"""The requests of a truck to a running gateway, and the bodies of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.harness.running_gateway import Device, Reply, RunningGateway
from tests.harness.truck_actions import TODAY, add_truck

if TYPE_CHECKING:
    from datetime import date

RESTOCK, STATUS = "/api/truck/restock", "/api/truck/restock/status"
SCOPES = ("restock:write", "restock:read")


def day(days: int) -> str:
    """Return the date so many days from today."""
    at: date = TODAY + timedelta(days=days)
    return at.isoformat()


def line(**changes: Any) -> dict[str, Any]:
    """Return a line of 20 milk, with some members changed."""
    return {
        "sku": "milk",
        "name": "Milk",
        "aisle_type": "dairy",
        "quantity": 20,
        "mfd_date": day(-1),
        "expiry_date": day(9),
        "unit_cost_cents": 90,
    } | changes


def body(supplier_id: str, *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the body of a restock; a change to None removes the member."""
    found = {"supplier_id": supplier_id, "supplier_name": "Acme", "manifest_no": "m-1", "items": lines or (line(),)}
    return {name: value for name, value in (found | changes).items() if value is not None}


async def add_truck_device(gateway: RunningGateway, supplier_id: str) -> Device:
    """Register a truck of a supplier; its `device_id` is the supplier_id."""
    user_id = await add_truck(gateway.db, supplier_id)
    return Device(gateway, user_id, supplier_id, gateway.token(user_id, f"truck-{user_id}", scopes=SCOPES))


async def restock(truck: Device, *lines: dict[str, Any], key: str | None = None, **changes: Any) -> Reply:
    headers = {"idempotency-key": key} if key else {}
    return await truck.post(RESTOCK, body(truck.device_id, *lines, **changes), headers=headers)


async def status(truck: Device, order_id: str) -> Reply:
    return await truck.get(f"{STATUS}?order_id={order_id}")
