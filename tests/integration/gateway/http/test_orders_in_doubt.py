"""Orders in doubt: 202 with where and when to look again, and the table of CONTRACT §2.1 while inventory is unclear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from tests.harness.running_gateway import until

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOWN = grpc.StatusCode.UNAVAILABLE


def is_in_doubt(reply: Reply, order_id: str, dispatch: str) -> bool:
    assert (reply.status, reply.json["dispatch"]) == (202, dispatch)
    assert reply.headers["location"] == f"/api/client/orders/{order_id}"
    return int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_confirm_in_doubt_is_202_and_settles_by_itself(device: Device, *, after_effect: bool) -> None:
    order_id, shelf = await device.previewed(), device.shop.shelf
    shelf.trouble, shelf.after_effect = {"AssignRobots": DOWN}, after_effect
    for _ in range(2):
        assert is_in_doubt(await device.confirm(order_id), order_id, "in_doubt")
    shelf.trouble = {}
    await device.becomes(order_id, "PROCESSING")
    assert shelf.dispatches[order_id] == 1
    assert (await device.confirm(order_id)).status == 200


async def test_a_cancel_in_doubt_is_202_and_settles_by_itself(device: Device) -> None:
    order_id, shelf = await device.previewed(), device.shop.shelf
    shelf.trouble = {"ReleaseItems": DOWN}
    for _ in range(2):
        assert is_in_doubt(await device.cancel(order_id), order_id, "releasing")
    assert (await device.confirm(order_id)).code == "order_cancelled"
    shelf.trouble = {}
    await device.becomes(order_id, "CANCELLED")


async def test_a_cancel_of_a_doubtful_confirm_that_did_not_arrive_is_a_cancel(device: Device) -> None:
    order_id, shelf = await device.previewed(), device.shop.shelf
    shelf.trouble = {"AssignRobots": DOWN}
    assert is_in_doubt(await device.confirm(order_id), order_id, "in_doubt")
    reply = await device.cancel(order_id)
    assert (reply.status, reply.json["status"]) == (200, "CANCELLED")
    assert shelf.dispatches[order_id] == 0


async def test_a_cancel_of_a_doubtful_confirm_that_robots_have_begun_is_too_late(device: Device) -> None:
    order_id, shelf = await device.previewed(), device.shop.shelf
    shelf.trouble, shelf.after_effect = {"AssignRobots": DOWN}, True
    assert is_in_doubt(await device.confirm(order_id), order_id, "in_doubt")
    shelf.started.add(order_id)
    reply = await device.cancel(order_id)
    assert (reply.status, reply.code) == (409, "too_late_to_cancel")
    assert (await device.order(order_id))["status"] == "PROCESSING"


async def test_no_robots_is_202_until_the_stock_is_back(device: Device) -> None:
    order_id, shelf = await device.previewed(), device.shop.shelf
    shelf.refuse_robots, shelf.trouble = True, {"ReleaseItems": DOWN}
    for _ in range(2):
        assert is_in_doubt(await device.confirm(order_id), order_id, "releasing")
    assert is_in_doubt(await device.cancel(order_id), order_id, "releasing")
    shelf.trouble = {}
    await device.becomes(order_id, "FAILED")
    assert (await device.confirm(order_id)).code == "no_robots"


async def test_an_expiry_in_doubt_is_gone_for_a_confirm_and_202_for_a_cancel(device: Device) -> None:
    order_id, shelf = await device.previewed(), device.shop.shelf
    shelf.trouble = {"ReleaseItems": DOWN}
    await device.shop.db.run(
        "UPDATE grocery_orders SET expires_at = now() - interval '1 second', due_at = now() WHERE order_id = $1",
        order_id,
    )

    async def is_releasing() -> bool:
        return bool((await device.order(order_id))["dispatch"] == "releasing")

    await until(is_releasing)
    confirmed = await device.confirm(order_id)
    assert (confirmed.status, confirmed.code) == (410, "hold_expired")
    assert is_in_doubt(await device.cancel(order_id), order_id, "releasing")
    shelf.trouble = {}
    await device.becomes(order_id, "EXPIRED")
