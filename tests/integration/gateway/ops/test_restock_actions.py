"""An operator's actions on deliveries, and maintenance, which refuses new ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.harness.truck_requests import add_truck_device, restock

if TYPE_CHECKING:
    from tests.harness.operators import Operator

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_retry_of_an_owed_delivery_takes_it_in_once(operator: Operator) -> None:
    gateway = operator.gateway
    truck, inventory = await add_truck_device(gateway, "acme-retry"), gateway.fake_inventory
    inventory.abort_with = {"RestockItems": grpc.StatusCode.UNAVAILABLE}
    order_id = (await restock(truck)).json["order_id"]
    path = f"/restocks/{order_id}"
    assert (await operator.send("POST", f"{path}/reconcile")).code == "call_owed"
    in_doubt = await operator.send("POST", f"{path}/retry")
    assert (in_doubt.json["applied"], in_doubt.json["after"]) == (False, "ANNOUNCED/RESTOCK")
    await gateway.db.run(
        "UPDATE restock_orders SET due_at = now() + interval '10 minutes' WHERE order_id = $1", order_id
    )
    inventory.clear_faults()
    replies = await asyncio.gather(*(operator.send("POST", f"{path}/retry") for _ in range(5)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert inventory.arrivals[order_id] == 1
    assert (await operator.send("POST", f"{path}/retry")).code == "not_owed"
    inventory.put_away(order_id)
    assert (await operator.send("POST", f"{path}/reconcile")).json["after"] == "RECEIVED"
    assert (await operator.send("POST", f"{path}/reconcile")).code == "order_ended"


async def test_maintenance_refuses_a_new_delivery_and_answers_a_known_one(operator: Operator) -> None:
    truck = await add_truck_device(operator.gateway, "acme-kept")
    known = await restock(truck)
    assert known.status == 201
    await operator.switch("maintenance", on=True)
    try:
        assert (await restock(truck, manifest_no="m-2")).code == "maintenance"
        assert (await restock(truck)).status == 200
    finally:
        await operator.switch("maintenance", on=False)
