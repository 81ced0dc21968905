from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.harness.running_inventory import PRODUCTS, State, code_of, lines, new, until

if TYPE_CHECKING:
    from tests.harness.running_inventory import Shop


async def test_a_hold_takes_from_what_is_available(shop: Shop) -> None:
    answer = await shop.reserve(new(), milk=3, apple=2)
    assert answer.success
    assert {item.sku: item.quantity for item in answer.items} == {"milk": 3, "apple": 2}
    assert await shop.available("apple", "milk") == [48, 47]


async def test_the_same_reservation_again_holds_once_and_renews(shop: Shop) -> None:
    order = new()
    first = await shop.reserve(order, milk=3)
    again = await shop.reserve(order, 600, milk=3)
    assert again.success
    assert again.items == first.items
    assert again.expires_at.seconds > first.expires_at.seconds + 500
    assert await shop.available("milk") == [47]


async def test_a_shorter_renewal_does_not_shorten_the_hold(shop: Shop) -> None:
    order = new()
    first = await shop.reserve(order, 600, milk=3)
    again = await shop.reserve(order, 5, milk=3)
    assert again.expires_at == first.expires_at


async def test_forty_first_calls_for_one_order_hold_once(shop: Shop) -> None:
    order = new()
    answers = await asyncio.gather(*(shop.reserve(order, milk=50) for _ in range(40)))
    assert all(answer.success for answer in answers)
    assert await shop.available("milk") == [0]


async def test_other_items_on_a_held_order_differ(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, milk=3)
    assert (await shop.reserve(order, milk=4)).refusal == pb.ITEMS_DIFFER
    assert (await shop.reserve(order, apple=3)).refusal == pb.ITEMS_DIFFER
    assert await shop.available("apple", "milk") == [50, 47]


async def test_other_items_on_an_assigned_order_differ(shop: Shop) -> None:
    order, _ = await shop.dispatch(milk=1)
    assert (await shop.reserve(order, milk=2)).refusal == pb.ITEMS_DIFFER
    assert (await shop.reserve(order, milk=1)).success


async def test_a_shortage_holds_nothing_and_is_not_remembered(shop: Shop) -> None:
    order = new()
    refused = await shop.reserve(order, milk=51, apple=1)
    assert refused.refusal == pb.SHORTAGE
    assert [(short.sku, short.requested, short.available) for short in refused.shortages] == [("milk", 51, 50)]
    assert await shop.state(order) == State.UNKNOWN
    assert (await shop.reserve(order, apple=1)).success


async def test_an_unknown_sku_takes_precedence_over_a_shortage(shop: Shop) -> None:
    refused = await shop.reserve(new(), milk=51, moonrock=1)
    assert refused.refusal == pb.UNKNOWN_SKU
    assert [short.sku for short in refused.shortages] == ["moonrock"]


async def test_two_lines_of_one_sku_are_one_demand(shop: Shop) -> None:
    items = [*lines({"milk": 30}), *lines({"milk": 30})]
    answer = await shop.stub.ReserveItems(pb.ReserveItemsRequest(order_id=new(), items=items, hold_seconds=60))
    assert answer.refusal == pb.SHORTAGE
    assert answer.shortages[0].requested == 60


async def test_a_partial_grant_drops_what_is_not_there(shop: Shop) -> None:
    await shop.reserve(new(), apple=50)
    answer = await shop.reserve(new(), partial=True, milk=80, apple=1, yoghurt=2)
    assert {item.sku: item.quantity for item in answer.items} == {"milk": 50, "yoghurt": 2}


async def test_a_partial_grant_repeated_grants_the_same(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, partial=True, milk=80)
    await shop.stock(milk=100)
    again = await shop.reserve(order, partial=True, milk=80)
    assert {item.sku: item.quantity for item in again.items} == {"milk": 50}
    assert (await shop.reserve(order, partial=True, milk=50)).refusal == pb.ITEMS_DIFFER


async def test_a_partial_grant_of_nothing_is_a_shortage(shop: Shop) -> None:
    await shop.reserve(new(), milk=50)
    assert (await shop.reserve(new(), partial=True, milk=1)).refusal == pb.SHORTAGE


async def test_a_hold_lapses_and_its_stock_returns(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, 1, milk=50)

    async def back() -> bool:
        return await shop.available("milk") == [50]

    await until(back)
    assert await shop.state(order) == State.LAPSED


async def test_a_lapsed_hold_is_taken_again_or_refused(shop: Shop) -> None:
    first, second = new(), new()
    await shop.reserve(first, 1, milk=30)
    await shop.reserve(second, 1, milk=20)

    async def lapsed() -> bool:
        return await shop.state(second) == State.LAPSED and await shop.available("milk") == [50]

    await until(lapsed)
    await shop.reserve(new(), milk=25)
    assert (await shop.reserve(first, milk=30)).refusal == pb.SHORTAGE
    assert (await shop.reserve(second, milk=20)).success
    assert await shop.available("milk") == [5]


async def test_a_lapsed_order_may_hold_other_items(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, 1, milk=30)

    async def lapsed() -> bool:
        return await shop.state(order) == State.LAPSED

    await until(lapsed)
    assert (await shop.reserve(order, apple=5)).success
    assert await shop.available("apple", "milk") == [45, 50]


async def test_a_buyer_gets_what_an_overdue_hold_still_blocks(shop: Shop) -> None:
    await shop.reserve(new(), 1, milk=50)
    await shop.db.run("UPDATE inventory.orders SET expires_at = now() - interval '1 second' WHERE state = 'HELD'")
    assert (await shop.reserve(new(), milk=50)).success


async def test_fifty_units_are_sold_to_fifty_of_two_hundred(shop: Shop) -> None:
    await shop.stock(steak=50)
    answers = await asyncio.gather(*(shop.reserve(new(), steak=1) for _ in range(200)))
    assert sum(answer.success for answer in answers) == 50
    assert {answer.refusal for answer in answers if not answer.success} == {pb.SHORTAGE}


async def test_crossing_baskets_never_deadlock_or_oversell(shop: Shop) -> None:
    baskets = ({"milk": 1, "apple": 1}, {"apple": 1, "milk": 1})
    answers = await asyncio.gather(*(shop.reserve(new(), **baskets[i % 2]) for i in range(200)))
    assert sum(answer.success for answer in answers) == 50
    assert await shop.available("apple", "milk") == [0, 0]


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
async def test_bad_input_is_an_invalid_argument(shop: Shop, order_id: str, items: dict[str, int], hold_s: int) -> None:
    request = pb.ReserveItemsRequest(order_id=order_id, items=lines(items), hold_seconds=hold_s)
    assert await code_of(shop.stub.ReserveItems(request)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_restart_forgets_nothing(shop: Shop) -> None:
    held, gone = new(), new()
    await shop.reserve(held, milk=5)
    await shop.release(gone)
    dispatched, assignments = await shop.dispatch(apple=2)
    await shop.restart()
    assert (await shop.reserve(held, milk=5)).success
    assert (await shop.reserve(gone, milk=5)).refusal == pb.RELEASED
    assert list((await shop.assign(dispatched, apple=2)).assignments) == assignments
    assert await shop.available("apple", "milk") == [48, 45]


async def test_a_delivery_counts_once_however_often_it_is_sent(shop: Shop) -> None:
    item = pb.RestockItem(sku="steak", name="Steak", aisle_type="meat", quantity=10, unit_cost_cents=500)
    request = pb.RestockRequest(order_id=new(), supplier_id="ranch", items=[item], shelved=True)
    answers = await asyncio.gather(*(shop.stub.RestockItems(request) for _ in range(10)))
    assert all(answer.success for answer in answers)
    assert await shop.available("steak") == [10]
    item.quantity = 11
    changed = pb.RestockRequest(order_id=request.order_id, supplier_id="ranch", items=[item], shelved=True)
    assert not (await shop.stub.RestockItems(changed)).success
    told = await shop.stub.GetRestock(pb.GetRestockRequest(order_id=request.order_id))
    assert (told.state, told.items[0].received) == (pb.GetRestockResponse.RECEIVED, 10)


async def test_a_product_does_not_change_its_aisle(shop: Shop) -> None:
    item = pb.RestockItem(sku="milk", name="Milk", aisle_type="meat", quantity=10)
    answer = await shop.stub.RestockItems(pb.RestockRequest(order_id=new(), supplier_id="farm", items=[item]))
    assert not answer.success
    assert await shop.available("milk") == [50]


@pytest.mark.parametrize("field", [{"quantity": -1}, {"aisle_type": "moon"}, {"sku": ""}, {"unit_cost_cents": -1}])
async def test_a_bad_delivery_is_an_invalid_argument(shop: Shop, field: dict[str, object]) -> None:
    whole = {"sku": "milk", "name": "Milk", "aisle_type": PRODUCTS["milk"], "quantity": 1} | field
    request = pb.RestockRequest(order_id=new(), supplier_id="farm", items=[pb.RestockItem(**whole)])
    assert await code_of(shop.stub.RestockItems(request)) is grpc.StatusCode.INVALID_ARGUMENT
