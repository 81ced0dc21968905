"""Bugs that an earlier mart of this design had, each tested against the whole of this one (docs/REGRESSIONS.md)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.harness.running_gateway import PREVIEW, webhook_body
from tests.harness.running_inventory import Picked, State, new
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
SKUS = ("milk", "apple", "baguette")


async def test_the_stock_of_an_expired_quote_is_available_again(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.previewed(milk=5)
    assert (await mart.available("milk"))["milk"] == before["milk"] - 5
    await mart.gateway.db.run(
        "UPDATE grocery_orders SET expires_at = now(), due_at = now() WHERE order_id = $1", order_id
    )
    await device.wait_for_status(order_id, "EXPIRED")
    assert await mart.available(*SKUS) == before


@pytest.mark.parametrize("quantity", [-5, 0])
async def test_a_quantity_below_one_adds_no_stock(mart: Mart, quantity: int) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    reply = await device.post(PREVIEW, {"items": [{"sku": "milk", "quantity": quantity}]})
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert await mart.available(*SKUS) == before


async def test_two_lines_of_one_sku_are_summed(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    twice = {"items": [{"sku": "milk", "quantity": 2}, {"sku": "milk", "quantity": 3}]}
    order = (await device.post(PREVIEW, twice)).json
    assert [(line["sku"], line["quantity"]) for line in order["items"]] == [("milk", 5)]
    assert (await mart.available("milk"))["milk"] == before["milk"] - 5
    await device.cancel(order["order_id"])


async def test_twenty_confirms_dispatch_once(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.previewed(milk=1, apple=1)
    replies = await asyncio.gather(*(device.confirm(order_id) for _ in range(20)))
    assert {reply.status for reply in replies} == {200}
    assert len({str(reply.json["robots"]) for reply in replies}) == 1
    assert len(await mart.assignments(order_id)) == 2
    await mart.pick(order_id, "dairy")
    await mart.pick(order_id, "produce")
    assert (await device.wait_for_status(order_id, "COMPLETED"))["outcome"] == "FULL"


async def test_a_cancel_of_a_completed_order_returns_no_stock_and_keeps_the_row(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.processing(baguette=2)
    await mart.pick(order_id, "bread")
    done = await device.wait_for_status(order_id, "COMPLETED")
    assert (await device.cancel(order_id)).code == "too_late_to_cancel"
    assert await device.order(order_id) == done
    assert await mart.available(*SKUS) == {**before, "baguette": before["baguette"] - 2}
    assert await mart.inventory.state(order_id) == State.COMPLETED


async def test_repeated_reports_of_one_robot_do_not_end_another_robots_assignment(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(milk=1, apple=1)
    leased = await mart.start(order_id, "dairy")
    for sequence in range(1, 6):
        await mart.inventory.report(*leased, Picked.PICKED, sequence)
    assert await mart.inventory.state(order_id) == State.ASSIGNED
    assert (await device.order(order_id))["status"] == "PROCESSING"
    await mart.pick(order_id, "produce")
    assert (await device.wait_for_status(order_id, "COMPLETED"))["outcome"] == "FULL"


async def test_unsigned_and_forged_webhooks_finish_nothing(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(milk=1)
    for _ in range(5):
        stranger = "strangers-sign-with-their-own-key"
        assert (await mart.gateway.send_webhook(webhook_body(order_id), key=stranger)).code == "invalid_signature"
        unsigned = await mart.gateway.request(
            "POST", "/internal/webhook/update-order", webhook_body(order_id), inside=True
        )
        assert unsigned.code == "invalid_signature"
    assert (await device.order(order_id))["status"] == "PROCESSING"
    assert (await device.cancel(order_id)).json["status"] == "CANCELLED"


async def test_a_restarted_robot_finds_its_assignment_and_ends_it_once(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(milk=1)
    robot_id, assignment_id, fence = await mart.start(order_id, "dairy")
    found = [one.assignment_id for one in await mart.inventory.work(robot_id)]  # its request after a restart
    assert found[0] == assignment_id
    again = await mart.inventory.start(robot_id, assignment_id)
    assert (again.granted, again.fence) == (True, fence)
    await mart.inventory.report(robot_id, assignment_id, again.fence)
    assert (await device.wait_for_status(order_id, "COMPLETED"))["outcome"] == "FULL"


@pytest.mark.parametrize("path", ["/api/truck/restock", "/api/truck/restock/status"])
async def test_a_truck_without_a_token_gets_401(mart: Mart, path: str) -> None:
    before = await mart.available(*SKUS)
    for method in ("GET", "POST"):
        reply = await mart.gateway.request(method, path, {"items": []} if method == "POST" else None)
        assert (reply.status, reply.code) == (401, "invalid_token")
    assert await mart.available(*SKUS) == before


async def test_without_pricing_nothing_is_quoted_and_quoted_orders_keep_their_price(mart: Mart) -> None:
    """The last test of the module, because it closes pricing."""
    device, before = await mart.device(), await mart.available(*SKUS)
    order_id = await device.previewed(milk=2)
    await mart.close_pricing()
    assert (await device.preview(key=new(), milk=1)).status == 503
    assert (await device.confirm(order_id)).status == 200
    await mart.pick(order_id, "dairy")
    done = await device.wait_for_status(order_id, "COMPLETED")
    assert (done["total_cents"], done["quoted_total_cents"]) == (2 * 129, 2 * 129)
    rows = await mart.gateway.db.rows("SELECT total_cents FROM grocery_orders WHERE user_id = $1", device.user_id)
    assert [row["total_cents"] for row in rows] == [258]

    async def given_back() -> bool:  # the hold of the refused preview has lapsed
        return (await mart.available("milk"))["milk"] == before["milk"] - 2

    await mart.inventory_db.run("UPDATE inventory.orders SET expires_at = now() WHERE state = 'HELD'")
    await until(given_back)
