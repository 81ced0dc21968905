"""A peer's non-OK status, or undecodable reply, is in doubt: a device gets 202 or 503, never 401 or 500."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from msgspec import Struct

from autogrocery.kit.ids import uuid7
from tests.harness.running_gateway import webhook_body
from tests.harness.truck_requests import add_truck_device, restock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.harness.running_gateway import Device, Reply, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
CATALOG = "/api/client/catalog"
UNDECODABLE = b"\xff\xff\xff\xff"


async def preview(device: Device) -> Reply:
    return await device.preview()


async def confirm(device: Device) -> Reply:
    return await device.confirm(await device.previewed())


async def cancel(device: Device) -> Reply:
    return await device.cancel(await device.previewed())


async def catalog(device: Device) -> Reply:
    return await device.get(CATALOG)


async def webhook(device: Device) -> Reply:
    """Inventory reports an order of which no confirm has left a trace, and is asked about it."""
    return await device.gateway.send_webhook(webhook_body(await device.previewed()))


async def delivery(device: Device) -> Reply:
    return await restock(await add_truck_device(device.gateway, f"acme-{uuid7().hex}"))


class Case(Struct, frozen=True):
    """A call, the request that makes it, and the answer's status and the value of one of its members."""

    call: str
    request: Callable[[Device], Awaitable[Reply]]
    status: int
    member: str
    value: str


CASES = [
    Case("Quote", preview, 503, "code", "pricing_unavailable"),
    Case("ReserveItems", preview, 503, "code", "inventory_unavailable"),
    Case("AssignRobots", confirm, 202, "dispatch", "in_doubt"),
    Case("ReleaseItems", cancel, 202, "dispatch", "releasing"),
    Case("ListProducts", catalog, 503, "code", "pricing_unavailable"),
    Case("GetOrder", webhook, 503, "code", "inventory_unavailable"),
    Case("RestockItems", delivery, 202, "dispatch", "in_doubt"),
    Case("UpdateStockMetrics", delivery, 201, "dispatch", "dispatched"),
]


def spoil(gateway: RunningGateway, call: str, status: grpc.StatusCode | None) -> None:
    """Let a call end with a status, or with bytes that are no message."""
    if call in {"Quote", "ListProducts", "UpdateStockMetrics"}:
        gateway.fake_pricing.abort_with = status
        gateway.fake_pricing.raw_reply = {} if status else {call: UNDECODABLE}
    else:
        gateway.fake_inventory.abort_with = {call: status} if status else {}
        gateway.fake_inventory.raw_reply = {} if status else {call: UNDECODABLE}


async def rejected(gateway: RunningGateway, call: str) -> float:
    """Return how many undecodable replies to the call the gateway has counted."""
    field = "".join("_" * (char.isupper() and at > 0) + char.lower() for at, char in enumerate(call))
    text = (await gateway.request("GET", "/metrics", inside=True)).body.decode()
    found = [line for line in text.splitlines() if f'field="{field}",' in line and 'reason="undecodable"' in line]
    return float(found[0].split()[-1]) if found else 0.0


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, None])
@pytest.mark.parametrize("case", CASES, ids=[case.call for case in CASES])
async def test_a_call_without_a_clear_answer_is_in_doubt(
    device: Device, case: Case, status: grpc.StatusCode | None
) -> None:
    gateway = device.gateway
    for _ in range(4):  # the peers answer most calls: their breakers stay closed
        await device.processing()
    counted = await rejected(gateway, case.call)
    spoil(gateway, case.call, status)
    reply = await case.request(device)
    assert (reply.status, reply.json[case.member]) == (case.status, case.value)
    assert (await rejected(gateway, case.call) > counted) == (status is None)
    gateway.fake_inventory.clear_faults()
    gateway.fake_pricing.clear_faults()
    if case.member == "dispatch" and "order_id" in reply.json and case.request is not delivery:
        await device.wait_for_status(reply.json["order_id"], "PROCESSING" if case.request is confirm else "CANCELLED")


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAUTHENTICATED, None])
async def test_a_catalog_without_an_answer_of_inventory_has_no_quantities(
    device: Device, status: grpc.StatusCode | None
) -> None:
    spoil(device.gateway, "CheckAvailability", status)
    reply = await device.get(CATALOG)
    assert (reply.status, {product["available"] for product in reply.json["data"]}) == (200, {None})
