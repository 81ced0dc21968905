from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.rpc.status import Code
from tests.harness.grpc_client import code_of
from tests.harness.running_inventory import PRODUCTS, State, lines, new
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory


async def test_reserve_reduces_available_units(inventory: RunningInventory) -> None:
    answer = await inventory.reserve(new(), milk=3, apple=2)
    assert answer.success
    assert {item.sku: item.quantity for item in answer.items} == {"milk": 3, "apple": 2}
    assert await inventory.available("apple", "milk") == [48, 47]


async def test_repeated_reserve_holds_once_and_renews(inventory: RunningInventory) -> None:
    order = new()
    first = await inventory.reserve(order, milk=3)
    again = await inventory.reserve(order, 600, milk=3)
    assert again.success
    assert again.items == first.items
    assert again.expires_at.seconds > first.expires_at.seconds + 500
    assert await inventory.available("milk") == [47]


async def test_shorter_renewal_keeps_the_later_expiry(inventory: RunningInventory) -> None:
    order = new()
    first = await inventory.reserve(order, 600, milk=3)
    again = await inventory.reserve(order, 5, milk=3)
    assert again.expires_at == first.expires_at


async def test_forty_concurrent_reserves_of_one_order_hold_once(inventory: RunningInventory) -> None:
    order = new()
    answers = await asyncio.gather(*(inventory.reserve(order, milk=50) for _ in range(40)))
    assert all(answer.success for answer in answers)
    assert await inventory.available("milk") == [0]


async def test_other_items_on_a_held_order_return_items_differ(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, milk=3)
    assert (await inventory.reserve(order, milk=4)).refusal == pb.ITEMS_DIFFER
    assert (await inventory.reserve(order, apple=3)).refusal == pb.ITEMS_DIFFER
    assert await inventory.available("apple", "milk") == [50, 47]


async def test_other_items_on_an_assigned_order_return_items_differ(inventory: RunningInventory) -> None:
    order, _ = await inventory.dispatch(milk=1)
    assert (await inventory.reserve(order, milk=2)).refusal == pb.ITEMS_DIFFER
    assert (await inventory.reserve(order, milk=1)).success


async def test_a_shortage_holds_nothing_and_is_not_remembered(inventory: RunningInventory) -> None:
    order = new()
    refused = await inventory.reserve(order, milk=51, apple=1)
    assert refused.refusal == pb.SHORTAGE
    assert [(short.sku, short.requested, short.available) for short in refused.shortages] == [("milk", 51, 50)]
    assert await inventory.state(order) == State.UNKNOWN
    assert (await inventory.reserve(order, apple=1)).success


async def test_an_unknown_sku_takes_precedence_over_a_shortage(inventory: RunningInventory) -> None:
    refused = await inventory.reserve(new(), milk=51, moonrock=1)
    assert refused.refusal == pb.UNKNOWN_SKU
    assert [short.sku for short in refused.shortages] == ["moonrock"]


async def test_two_lines_of_one_sku_are_summed(inventory: RunningInventory) -> None:
    items = [*lines({"milk": 30}), *lines({"milk": 30})]
    answer = await inventory.stub.ReserveItems(pb.ReserveItemsRequest(order_id=new(), items=items, hold_seconds=60))
    assert answer.refusal == pb.SHORTAGE
    assert answer.shortages[0].requested == 60


async def test_partial_grant_omits_unavailable_lines(inventory: RunningInventory) -> None:
    await inventory.reserve(new(), apple=50)
    answer = await inventory.reserve(new(), partial=True, milk=80, apple=1, yoghurt=2)
    assert {item.sku: item.quantity for item in answer.items} == {"milk": 50, "yoghurt": 2}


async def test_repeated_partial_reserve_grants_the_same(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, partial=True, milk=80)
    await inventory.stock(milk=100)
    again = await inventory.reserve(order, partial=True, milk=80)
    assert {item.sku: item.quantity for item in again.items} == {"milk": 50}
    assert (await inventory.reserve(order, partial=True, milk=50)).refusal == pb.ITEMS_DIFFER


async def test_partial_reserve_without_any_stock_is_a_shortage(inventory: RunningInventory) -> None:
    await inventory.reserve(new(), milk=50)
    assert (await inventory.reserve(new(), partial=True, milk=1)).refusal == pb.SHORTAGE


async def test_expired_hold_lapses_and_frees_its_stock(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, 1, milk=50)

    async def freed() -> bool:
        return await inventory.available("milk") == [50]

    await until(freed)
    assert await inventory.state(order) == State.LAPSED


async def test_reserve_on_a_lapsed_hold_is_held_again_or_refused(inventory: RunningInventory) -> None:
    first, second = new(), new()
    await inventory.reserve(first, milk=30)
    await inventory.reserve(second, milk=20)
    await inventory.lapse(first, second)
    assert await inventory.state(second) == State.LAPSED
    assert await inventory.available("milk") == [50]
    await inventory.reserve(new(), milk=25)
    assert (await inventory.reserve(first, milk=30)).refusal == pb.SHORTAGE
    assert (await inventory.reserve(second, milk=20)).success
    assert await inventory.available("milk") == [5]


async def test_lapsed_order_may_reserve_other_items(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, milk=30)
    await inventory.lapse(order)
    assert await inventory.state(order) == State.LAPSED
    assert (await inventory.reserve(order, apple=5)).success
    assert await inventory.available("apple", "milk") == [45, 50]


async def test_shortage_frees_expired_holds_first(inventory: RunningInventory) -> None:
    await inventory.reserve(new(), 1, milk=50)
    await inventory.db.run("UPDATE inventory.orders SET expires_at = now() - interval '1 second' WHERE state = 'HELD'")
    assert (await inventory.reserve(new(), milk=50)).success


async def test_200_concurrent_reserves_of_50_units_grant_50(inventory: RunningInventory) -> None:
    await inventory.stock(steak=50)
    answers = await asyncio.gather(*(inventory.reserve(new(), steak=1) for _ in range(200)))
    assert sum(answer.success for answer in answers) == 50
    assert {answer.refusal for answer in answers if not answer.success} == {pb.SHORTAGE}


async def test_crossing_baskets_never_deadlock_or_oversell(inventory: RunningInventory) -> None:
    baskets = ({"milk": 1, "apple": 1}, {"apple": 1, "milk": 1})
    answers = await asyncio.gather(*(inventory.reserve(new(), **baskets[i % 2]) for i in range(200)))
    assert sum(answer.success for answer in answers) == 50
    assert await inventory.available("apple", "milk") == [0, 0]


SOME_ORDER = "01890000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("order_id", "items", "hold_s"),
    [
        ("no-uuid", {"milk": 1}, 60),
        ("{" + "0" * 34 + "}", {"milk": 1}, 60),
        (SOME_ORDER, {}, 60),
        (SOME_ORDER, {"milk": 0}, 60),
        (SOME_ORDER, {"milk": -5}, 60),
        (SOME_ORDER, {"milk": 1_000}, 60),
        (SOME_ORDER, {"": 1}, 60),
        (SOME_ORDER, {"mi\0lk": 1}, 60),
        (SOME_ORDER, {f"sku-{i}": 1 for i in range(101)}, 60),
        (SOME_ORDER, {"milk": 1}, 0),
        (SOME_ORDER, {"milk": 1}, 86_401),
    ],
)
async def test_malformed_reserve_is_an_invalid_argument(
    inventory: RunningInventory, order_id: str, items: dict[str, int], hold_s: int
) -> None:
    request = pb.ReserveItemsRequest(order_id=order_id, items=lines(items), hold_seconds=hold_s)
    assert await code_of(inventory.stub.ReserveItems(request)) is Code.INVALID_ARGUMENT


async def test_results_are_repeated_after_a_restart(inventory: RunningInventory) -> None:
    held, gone = new(), new()
    await inventory.reserve(held, milk=5)
    await inventory.release(gone)
    dispatched, assignments = await inventory.dispatch(apple=2)
    await inventory.restart()
    assert (await inventory.reserve(held, milk=5)).success
    assert (await inventory.reserve(gone, milk=5)).refusal == pb.RELEASED
    assert list((await inventory.assign(dispatched, apple=2)).assignments) == assignments
    assert await inventory.available("apple", "milk") == [48, 45]


async def test_repeated_shelved_restock_counts_once(inventory: RunningInventory) -> None:
    item = pb.RestockItem(sku="steak", name="Steak", aisle_type="meat", quantity=10, unit_cost_cents=500)
    request = pb.RestockRequest(order_id=new(), supplier_id="ranch", items=[item], shelved=True)
    answers = await asyncio.gather(*(inventory.stub.RestockItems(request) for _ in range(10)))
    assert all(answer.success for answer in answers)
    assert await inventory.available("steak") == [10]
    item.quantity = 11
    changed = pb.RestockRequest(order_id=request.order_id, supplier_id="ranch", items=[item], shelved=True)
    assert not (await inventory.stub.RestockItems(changed)).success
    restock = await inventory.stub.GetRestock(pb.GetRestockRequest(order_id=request.order_id))
    assert (restock.state, restock.items[0].received) == (pb.GetRestockResponse.RECEIVED, 10)


async def test_restock_in_another_aisle_is_refused(inventory: RunningInventory) -> None:
    item = pb.RestockItem(sku="milk", name="Milk", aisle_type="meat", quantity=10)
    answer = await inventory.stub.RestockItems(pb.RestockRequest(order_id=new(), supplier_id="farm", items=[item]))
    assert not answer.success
    assert await inventory.available("milk") == [50]


@pytest.mark.parametrize("field", [{"quantity": -1}, {"aisle_type": "moon"}, {"sku": ""}, {"unit_cost_cents": -1}])
async def test_malformed_restock_is_an_invalid_argument(inventory: RunningInventory, field: dict[str, object]) -> None:
    whole = {"sku": "milk", "name": "Milk", "aisle_type": PRODUCTS["milk"], "quantity": 1} | field
    request = pb.RestockRequest(order_id=new(), supplier_id="farm", items=[pb.RestockItem(**whole)])
    assert await code_of(inventory.stub.RestockItems(request)) is Code.INVALID_ARGUMENT
