"""A restock through gateway, inventory and pricing: announced, put away, sold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.harness.truck_requests import add_truck_device, line, restock, status
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROBOT = "dairy-1"


async def test_a_new_product_is_sold_line_by_line_as_it_is_put_away(mart: Mart) -> None:
    truck, device = await add_truck_device(mart.gateway, "farm"), await mart.device()
    goods = (
        line(sku="cream", name="Cream", quantity=4, unit_cost_cents=100),
        line(sku="kefir", name="Kefir", quantity=5),
    )
    made = await restock(truck, *goods)
    assert (made.status, made.json["status"]) == (201, "RECEIVING")
    order_id = made.json["order_id"]
    assert (
        await device.preview(cream=1)
    ).code == "insufficient_stock"  # the product is known and priced, and not put away yet
    (putaway,) = [one for one in await mart.inventory.work(ROBOT) if one.order_type == pb.Assignment.PUTAWAY]
    fence = (await mart.inventory.start(ROBOT, putaway.assignment_id)).fence
    await mart.inventory.put_away(ROBOT, putaway.assignment_id, fence, cream=3)
    bought = await device.preview(cream=3)
    assert (bought.status, bought.json["total_cents"]) == (201, 3 * 130)
    await mart.inventory.put_away(ROBOT, putaway.assignment_id, fence, done=True, damaged=1, kefir=7)

    async def received() -> bool:
        return bool((await status(truck, order_id)).json["status"] == "RECEIVED")

    await until(received)
    items = (await status(truck, order_id)).json["items"]
    assert [(one["sku"], one["received"], one["short"], one["over"], one["damaged"]) for one in items] == [
        ("cream", 3, 1, 0, 0),
        ("kefir", 7, 0, 2, 1),
    ]
    assert await mart.available("kefir", "cream") == {"kefir": 6, "cream": 0}


async def test_a_restock_that_inventory_refuses_changes_no_price(mart: Mart) -> None:
    truck, device = await add_truck_device(mart.gateway, "bakery"), await mart.device()
    refused = await restock(truck, line(sku="milk", name="Bread", aisle_type="bread", unit_cost_cents=1))
    assert (refused.status, refused.code) == (409, "restock_refused")
    (milk,) = (await device.get("/api/client/catalog?q=milk")).json["data"]
    assert (milk["name"], milk["aisle_type"], milk["unit_price_cents"]) == ("Milk", "dairy", 129)
