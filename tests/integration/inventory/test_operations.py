"""What the operators' service says of shelves, robots, deliveries and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.contracts.inventory.ops.v1 import operations_pb2 as pb
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.status import Code, RpcError
from tests.harness.running_inventory import new, operator_token

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory

SERVICE = pb.DESCRIPTOR.services_by_name["InventoryOperationsService"]


async def ask(inventory: RunningInventory, call: str, **fields: Any) -> Any:
    request = getattr(pb, f"{call}Request")(**fields)
    return await getattr(stub_of(inventory.channel, SERVICE), call)(request, timeout_s=10.0, token=operator_token())


async def test_stock_counts_free_promised_and_incoming_units(inventory: RunningInventory) -> None:
    await inventory.reserve(new(), milk=3)
    await inventory.dispatch(milk=2)
    await inventory.deliver(milk=7)
    page = await ask(inventory, "ListStock", query="mil", limit=10)
    (milk,) = page.products
    assert (milk.sku, milk.on_hand, milk.held, milk.allocated, milk.incoming) == ("milk", 45, 3, 2, 7)
    assert (milk.aisle_type, milk.lots, page.next_cursor) == ("dairy", 1, "")


async def test_pages_of_stock_name_each_product_once(inventory: RunningInventory) -> None:
    found, cursor = [], ""
    while True:
        page = await ask(inventory, "ListStock", cursor=cursor, limit=2)
        found += [one.sku for one in page.products]
        if not (cursor := page.next_cursor):
            break
    assert found == sorted(set(found))
    assert {"milk", "yoghurt", "baguette", "apple"} <= set(found)


async def test_filters_of_stock_keep_aisle_and_scarce_products(inventory: RunningInventory) -> None:
    await inventory.dispatch(milk=50)
    dairy = await ask(inventory, "ListStock", aisle_type="dairy", limit=10)
    scarce = await ask(inventory, "ListStock", at_most=0, limit=10)
    assert [one.sku for one in dairy.products] == ["milk", "yoghurt"]
    assert [one.sku for one in scarce.products] == ["milk"]


async def test_stock_of_one_product_lists_its_lots(inventory: RunningInventory) -> None:
    await inventory.stock(milk=5)
    found = await ask(inventory, "GetStock", sku="milk")
    assert (found.product.on_hand, sorted(lot.on_shelf for lot in found.lots)) == (55, [5, 50])
    assert not (await ask(inventory, "GetStock", sku="no such")).HasField("product")


async def test_robot_shows_its_lease_and_its_queue(inventory: RunningInventory) -> None:
    order_id, (first,) = await inventory.dispatch(milk=1)
    await inventory.dispatch(milk=1)
    await inventory.start(first.robot_id, first.assignment_id)
    robots = {one.robot_id: one for one in (await ask(inventory, "ListRobots", limit=10)).robots}
    dairy = robots["dairy-1"]
    assert dairy.live
    assert (dairy.queue, [(task.order_type, task.order_id) for task in dairy.tasks]) == (
        1,
        [(pb.Task.ORDER_TYPE_PICK, order_id)],
    )
    await inventory.mark_unseen("bread-1")
    (bread,) = (await ask(inventory, "ListRobots", robot_class="bread", limit=10)).robots
    assert (bread.live, bread.queue, list(bread.tasks)) == (False, 0, [])


async def test_deliveries_are_listed_newest_first_with_their_progress(inventory: RunningInventory) -> None:
    older, _ = await inventory.deliver(apple=4)
    newer, putaways = await inventory.deliver(milk=10, baguette=5)
    lease = await inventory.start("dairy-1", putaways["dairy"])
    await inventory.put_away("dairy-1", putaways["dairy"], lease.fence, done=True, damaged=1, milk=9)
    first = await ask(inventory, "ListRestocks", state=pb.RESTOCK_STATE_RECEIVING, limit=1)
    (one,) = first.restocks
    assert (one.order_id, one.lines, one.units, one.received, one.damaged) == (newer, 2, 15, 9, 1)
    assert (one.putaways, one.putaways_done) == (2, 1)
    second = await ask(inventory, "ListRestocks", state=pb.RESTOCK_STATE_RECEIVING, limit=1, cursor=first.next_cursor)
    assert [one.order_id for one in second.restocks] == [older]


async def test_detail_of_an_order_has_assignments_lots_and_webhooks(inventory: RunningInventory) -> None:
    order_id, assignments = await inventory.dispatch(milk=2, apple=1)
    for one in assignments:
        await inventory.pick(one, **{item.sku: item.quantity for item in one.items})
    found = await ask(inventory, "GetOrderDetail", order_id=order_id)
    assert found.state == "COMPLETED"
    assert {(one.aisle, one.state) for one in found.assignments} == {("dairy", "PICKED"), ("produce", "PICKED")}
    assert sorted((one.sku, one.quantity) for one in found.lots) == [("apple", 1), ("milk", 2)]
    assert len(found.webhooks) == 1
    assert (await ask(inventory, "GetOrderDetail", order_id=new())).state == ""


async def test_audit_names_every_invariant_without_a_violation(inventory: RunningInventory) -> None:
    found = await ask(inventory, "Audit")
    assert len(found.invariants) > 5
    assert [one.name for one in found.invariants if one.violations] == []
    assert (await ask(inventory, "Audit")).checked_at == found.checked_at  # within seconds the same audit


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("ListStock", {"limit": 0}),
        ("ListStock", {"limit": 201}),
        ("ListStock", {"limit": 1, "query": "x" * 201}),
        ("ListStock", {"limit": 1, "query": "\0"}),
        ("ListRobots", {"limit": -1}),
        ("ListRestocks", {"limit": 1, "cursor": "no id"}),
        ("ListRestocks", {"limit": 1, "state": 9}),
        ("GetOrderDetail", {"order_id": "x"}),
    ],
    ids=str,
)
async def test_malformed_request_is_an_invalid_argument(
    inventory: RunningInventory, call: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(RpcError) as caught:
        await ask(inventory, call, **fields)
    assert caught.value.code is Code.INVALID_ARGUMENT
