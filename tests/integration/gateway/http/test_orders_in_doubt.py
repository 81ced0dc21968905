"""Orders in doubt: 202 with Location and Retry-After, and the table of docs/CONTRACT.md#confirm-and-cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOWN = grpc.StatusCode.UNAVAILABLE


def is_in_doubt(reply: Reply, order_id: str, dispatch: str) -> bool:
    assert (reply.status, reply.json["dispatch"]) == (202, dispatch)
    assert reply.headers["location"] == f"/api/client/orders/{order_id}"
    return int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("after_effect", [False, True])
async def test_confirm_in_doubt_returns_202_and_settles_by_itself(device: Device, *, after_effect: bool) -> None:
    order_id, fake_inventory = await device.previewed(), device.gateway.fake_inventory
    fake_inventory.abort_with, fake_inventory.after_effect = {"AssignRobots": DOWN}, after_effect
    for _ in range(2):
        assert is_in_doubt(await device.confirm(order_id), order_id, "in_doubt")
    fake_inventory.abort_with = {}
    await device.wait_for_status(order_id, "PROCESSING")
    assert fake_inventory.dispatches[order_id] == 1
    assert (await device.confirm(order_id)).status == 200


async def test_cancel_in_doubt_returns_202_and_settles_by_itself(device: Device) -> None:
    order_id, fake_inventory = await device.previewed(), device.gateway.fake_inventory
    fake_inventory.abort_with = {"ReleaseItems": DOWN}
    for _ in range(2):
        assert is_in_doubt(await device.cancel(order_id), order_id, "releasing")
    assert (await device.confirm(order_id)).code == "order_cancelled"
    fake_inventory.abort_with = {}
    await device.wait_for_status(order_id, "CANCELLED")


async def test_cancel_after_a_lost_confirm_returns_200(device: Device) -> None:
    order_id, fake_inventory = await device.previewed(), device.gateway.fake_inventory
    fake_inventory.abort_with = {"AssignRobots": DOWN}
    assert is_in_doubt(await device.confirm(order_id), order_id, "in_doubt")
    reply = await device.cancel(order_id)
    assert (reply.status, reply.json["status"]) == (200, "CANCELLED")
    assert fake_inventory.dispatches[order_id] == 0


async def test_cancel_after_a_confirm_in_doubt_that_is_being_picked_returns_409(device: Device) -> None:
    order_id, fake_inventory = await device.previewed(), device.gateway.fake_inventory
    fake_inventory.abort_with, fake_inventory.after_effect = {"AssignRobots": DOWN}, True
    assert is_in_doubt(await device.confirm(order_id), order_id, "in_doubt")
    fake_inventory.started.add(order_id)
    reply = await device.cancel(order_id)
    assert (reply.status, reply.code) == (409, "too_late_to_cancel")
    assert (await device.order(order_id))["status"] == "PROCESSING"


async def test_confirm_without_robots_returns_202_until_the_stock_is_released(device: Device) -> None:
    order_id, fake_inventory = await device.previewed(), device.gateway.fake_inventory
    fake_inventory.refuse_robots, fake_inventory.abort_with = True, {"ReleaseItems": DOWN}
    for _ in range(2):
        assert is_in_doubt(await device.confirm(order_id), order_id, "releasing")
    assert is_in_doubt(await device.cancel(order_id), order_id, "releasing")
    fake_inventory.abort_with = {}
    await device.wait_for_status(order_id, "FAILED")
    assert (await device.confirm(order_id)).code == "no_robots"


async def test_an_expiry_in_doubt_confirms_with_410_and_cancels_with_202(device: Device) -> None:
    order_id, fake_inventory = await device.previewed(), device.gateway.fake_inventory
    fake_inventory.abort_with = {"ReleaseItems": DOWN}
    await device.gateway.db.run(
        "UPDATE grocery_orders SET expires_at = now() - interval '1 second', due_at = now() WHERE order_id = $1",
        order_id,
    )
    await device.wait_for(order_id, "dispatch", "releasing")
    confirmed = await device.confirm(order_id)
    assert (confirmed.status, confirmed.code) == (410, "hold_expired")
    assert is_in_doubt(await device.cancel(order_id), order_id, "releasing")
    fake_inventory.abort_with = {}
    await device.wait_for_status(order_id, "EXPIRED")
