"""Bugs that a mart of this design once had, each tried over the whole of this one (docs/REGRESSIONS.md)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.harness.running_gateway import PREVIEW, picked, until
from tests.harness.running_inventory import Picked, State, new

if TYPE_CHECKING:
    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
SKUS = ("milk", "apple", "baguette")


async def test_a_hold_that_nobody_confirms_is_for_sale_again(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.previewed(milk=5)
    assert (await mart.available("milk"))["milk"] == before["milk"] - 5
    await mart.doors.db.run(
        "UPDATE grocery_orders SET expires_at = now(), due_at = now() WHERE order_id = $1", order_id
    )
    await device.becomes(order_id, "EXPIRED")
    assert await mart.available(*SKUS) == before


@pytest.mark.parametrize("quantity", [-5, 0])
async def test_a_quantity_below_one_adds_no_stock(mart: Mart, quantity: int) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    reply = await device.post(PREVIEW, {"items": [{"sku": "milk", "quantity": quantity}]})
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert await mart.available(*SKUS) == before


async def test_the_same_sku_twice_is_the_sum_of_both(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    twice = {"items": [{"sku": "milk", "quantity": 2}, {"sku": "milk", "quantity": 3}]}
    order = (await device.post(PREVIEW, twice)).json
    assert [(line["sku"], line["quantity"]) for line in order["items"]] == [("milk", 5)]
    assert (await mart.available("milk"))["milk"] == before["milk"] - 5
    await device.cancel(order["order_id"])


async def test_twenty_confirms_send_robots_once(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.previewed(milk=1, apple=1)
    told = await asyncio.gather(*(device.confirm(order_id) for _ in range(20)))
    assert {reply.status for reply in told} == {200}
    assert len({str(reply.json["robots"]) for reply in told}) == 1
    assert len(await mart.assignments(order_id)) == 2
    await mart.pick(order_id, "dairy")
    await mart.pick(order_id, "produce")
    assert (await device.becomes(order_id, "COMPLETED"))["outcome"] == "FULL"


async def test_a_cancel_of_a_completed_order_returns_no_stock_and_keeps_the_row(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.processing(baguette=2)
    await mart.pick(order_id, "bread")
    done = await device.becomes(order_id, "COMPLETED")
    assert (await device.cancel(order_id)).code == "too_late_to_cancel"
    assert await device.order(order_id) == done
    assert await mart.available(*SKUS) == {**before, "baguette": before["baguette"] - 2}
    assert await mart.floor.state(order_id) == State.COMPLETED


async def test_reports_of_one_robot_again_and_again_do_not_finish_another_robots_share(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(milk=1, apple=1)
    leased = await mart.start(order_id, "dairy")
    for sequence in range(1, 6):
        await mart.floor.report(*leased, Picked.PICKED, sequence)
    assert await mart.floor.state(order_id) == State.ASSIGNED
    assert (await device.order(order_id))["status"] == "PROCESSING"
    await mart.pick(order_id, "produce")
    assert (await device.becomes(order_id, "COMPLETED"))["outcome"] == "FULL"


async def test_five_callbacks_of_anybody_finish_nothing(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(milk=1)
    for _ in range(5):
        stranger = "strangers-sign-with-their-own-key"
        assert (await mart.doors.deliver(picked(order_id), key=stranger)).code == "invalid_signature"
        unsigned = await mart.doors.ask("POST", "/internal/webhook/update-order", picked(order_id), inside=True)
        assert unsigned.code == "invalid_signature"
    assert (await device.order(order_id))["status"] == "PROCESSING"
    assert (await device.cancel(order_id)).json["status"] == "CANCELLED"


async def test_a_robot_that_restarts_finds_its_task_and_ends_it_once(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(milk=1)
    robot_id, assignment_id, fence = await mart.start(order_id, "dairy")
    found = [one.assignment_id for one in await mart.floor.work(robot_id)]  # what it asks when it is up again
    assert found[0] == assignment_id
    again = await mart.floor.start(robot_id, assignment_id)
    assert (again.granted, again.fence) == (True, fence)
    await mart.floor.report(robot_id, assignment_id, again.fence)
    assert (await device.becomes(order_id, "COMPLETED"))["outcome"] == "FULL"


@pytest.mark.parametrize("path", ["/api/truck/restock", "/api/truck/restock/status"])
async def test_a_truck_without_a_token_stays_outside(mart: Mart, path: str) -> None:
    before = await mart.available(*SKUS)
    for method in ("GET", "POST"):
        reply = await mart.doors.ask(method, path, {"items": []} if method == "POST" else None)
        assert (reply.status, reply.code) == (401, "invalid_token")
    assert await mart.available(*SKUS) == before


async def test_while_pricing_is_down_nothing_is_sold_for_nothing(mart: Mart) -> None:
    """Last of its module: it takes pricing away."""
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.previewed(milk=2)
    await mart.close_pricing()
    assert (await device.preview(key=new(), milk=1)).status == 503
    assert (await device.confirm(order_id)).status == 200
    await mart.pick(order_id, "dairy")
    done = await device.becomes(order_id, "COMPLETED")
    assert (done["total_cents"], done["quoted_total_cents"]) == (2 * 129, 2 * 129)
    rows = await mart.doors.db.rows("SELECT total_cents FROM grocery_orders WHERE user_id = $1", device.user_id)
    assert [row["total_cents"] for row in rows] == [258]

    async def given_back() -> bool:  # the refused preview's hold, by the time it lapses
        return (await mart.available("milk"))["milk"] == before["milk"] - 2

    await mart.inventory_db.run("UPDATE inventory.orders SET expires_at = now() WHERE state = 'HELD'")
    await until(given_back)
