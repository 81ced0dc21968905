from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.robots.broadcast import decode
from autogrocery.kit.bus import open_subscriber
from tests.harness.running_inventory import DEADLINE_S, Picked, State, new, until

if TYPE_CHECKING:
    from tests.harness.running_inventory import Shop

RELEASED = pb.ReleaseItemsResponse.RELEASED
ALREADY_ASSIGNED = pb.ReleaseItemsResponse.ALREADY_ASSIGNED


async def test_each_aisle_of_an_order_goes_to_one_robot_of_its_class(shop: Shop) -> None:
    _, assignments = await shop.dispatch(milk=1, yoghurt=2, apple=3)
    told = {one.robot_class: (one.robot_id, {item.sku: item.quantity for item in one.items}) for one in assignments}
    assert told == {"dairy": ("dairy-1", {"milk": 1, "yoghurt": 2}), "produce": ("produce-1", {"apple": 3})}


async def test_forty_dispatches_of_one_order_make_one(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, milk=1, apple=1)
    answers = await asyncio.gather(*(shop.assign(order, milk=1, apple=1) for _ in range(40)))
    assert all(answer.success for answer in answers)
    assert {tuple(one.assignment_id for one in answer.assignments) for answer in answers} == {
        tuple(one.assignment_id for one in answers[0].assignments)
    }
    assert len(await shop.work("dairy-1")) == 1


async def test_a_dispatch_repeated_after_picking_names_the_same_assignments(shop: Shop) -> None:
    order, assignments = await shop.dispatch(milk=1)
    await shop.pick(assignments[0])
    assert list((await shop.assign(order, milk=1)).assignments) == assignments


async def test_other_items_on_a_dispatched_order_are_refused(shop: Shop) -> None:
    order, _ = await shop.dispatch(milk=1)
    assert not (await shop.assign(order, milk=2)).success
    assert await shop.available("milk") == [49]


async def test_a_dispatch_replaces_a_hold_for_other_items(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, milk=10)
    answer = await shop.assign(order, milk=2, apple=1)
    assert answer.success
    assert await shop.available("apple", "milk") == [49, 48]


async def test_a_dispatch_that_can_not_replace_a_hold_leaves_it(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, milk=10)
    assert not (await shop.assign(order, milk=10, apple=51)).success
    assert await shop.available("apple", "milk") == [50, 40]
    assert await shop.state(order) == State.HELD


async def test_a_dispatch_without_a_hold_takes_the_stock_or_is_refused(shop: Shop) -> None:
    taken, refused = new(), new()
    assert (await shop.assign(taken, milk=30)).success
    assert not (await shop.assign(refused, milk=30)).success
    assert await shop.state(refused) == State.UNKNOWN


async def test_a_dispatch_on_a_lapsed_hold_takes_the_stock_again_or_is_refused(shop: Shop) -> None:
    first, second = new(), new()
    await shop.reserve(first, 1, milk=30)
    await shop.reserve(second, 1, milk=20)

    async def lapsed() -> bool:
        return await shop.available("milk") == [50]

    await until(lapsed)
    await shop.fleet()
    assert (await shop.assign(first, milk=30)).success
    await shop.reserve(new(), milk=10)
    assert not (await shop.assign(second, milk=20)).success
    assert await shop.available("milk") == [10]


async def test_forty_dispatches_without_holds_do_not_oversell(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.assign(new(), milk=3, apple=1) for _ in range(40)))
    assert sum(answer.success for answer in answers) == 16
    assert await shop.available("apple", "milk") == [34, 2]


async def test_reserve_and_assign_of_one_order_at_once_take_once(shop: Shop) -> None:
    orders = [new() for _ in range(10)]
    calls = [call(order, milk=1, apple=1) for order in orders for call in (shop.assign, shop.reserve, shop.assign)]
    answers = await asyncio.gather(*calls)
    assert all(answer.success for answer in answers)
    assert await shop.available("apple", "milk") == [40, 40]


async def test_without_a_robot_of_a_class_nothing_changes(shop: Shop) -> None:
    await shop.stock(steak=5)
    order, unheld = new(), new()
    await shop.reserve(order, milk=1, steak=1)
    refused = await shop.assign(order, milk=1, steak=1)
    assert (refused.success, refused.message) == (False, "no robots of class meat")
    assert await shop.state(order) == State.HELD
    assert not (await shop.assign(unheld, steak=1)).success
    assert await shop.state(unheld) == State.UNKNOWN
    await shop.fleet(**{"meat-1": "meat", "dairy-1": "dairy"})
    assert (await shop.assign(order, milk=1, steak=1)).success


async def test_work_is_shared_among_the_robots_of_a_class(shop: Shop) -> None:
    await shop.fleet(**{"dairy-1": "dairy", "dairy-2": "dairy", "dairy-3": "dairy"})
    chosen = [(await shop.dispatch(milk=1))[1][0].robot_id for _ in range(9)]
    assert {robot: chosen.count(robot) for robot in chosen} == {"dairy-1": 3, "dairy-2": 3, "dairy-3": 3}


async def test_a_robot_with_a_full_queue_gets_no_more(shop: Shop) -> None:
    await shop.restart(robot_queue_max=2)
    for _ in range(2):
        await shop.dispatch(milk=1)
    assert not (await shop.assign(new(), milk=1)).success


async def test_a_release_returns_the_stock_and_refuses_the_order_for_ever(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, milk=10)
    assert await shop.release(order, pb.EXPIRE) == RELEASED
    assert await shop.release(order, pb.EXPIRE) == RELEASED
    assert await shop.available("milk") == [50]
    assert (await shop.reserve(order, milk=10)).refusal == pb.RELEASED
    assert not (await shop.assign(order, milk=10)).success
    assert await shop.state(order) == State.RELEASED


async def test_a_release_before_the_first_reserve_leaves_a_tombstone(shop: Shop) -> None:
    order = new()
    answers = await asyncio.gather(*(shop.release(order) for _ in range(10)))
    assert set(answers) == {RELEASED}
    assert (await shop.reserve(order, milk=1)).refusal == pb.RELEASED
    assert await shop.available("milk") == [50]


async def test_a_lapsed_order_is_released(shop: Shop) -> None:
    order = new()
    await shop.reserve(order, 1, milk=10)

    async def lapsed() -> bool:
        return await shop.available("milk") == [50]

    await until(lapsed)
    assert await shop.release(order, pb.EXPIRE) == RELEASED
    assert not (await shop.assign(order, milk=10)).success


async def test_a_cancel_withdraws_a_dispatch_nobody_started(shop: Shop) -> None:
    order, assignments = await shop.dispatch(milk=2, apple=1)
    assert await shop.release(order) == RELEASED
    assert await shop.available("apple", "milk") == [50, 50]
    assert not (await shop.start("dairy-1", assignments[0].assignment_id)).granted
    assert await shop.work("dairy-1") == []
    assert not (await shop.assign(order, milk=2, apple=1)).success


async def test_a_cancel_after_the_first_start_comes_too_late_for_ever(shop: Shop) -> None:
    order, assignments = await shop.dispatch(milk=2, apple=1)
    assert (await shop.start("dairy-1", assignments[0].assignment_id)).granted
    assert await shop.release(order) == ALREADY_ASSIGNED
    for assignment in assignments:
        await shop.pick(assignment)
    assert await shop.release(order) == ALREADY_ASSIGNED
    assert await shop.state(order) == State.COMPLETED


async def test_only_a_cancel_withdraws_a_dispatch(shop: Shop) -> None:
    order, _ = await shop.dispatch(milk=2)
    for reason in (pb.EXPIRE, pb.NO_ROBOTS, pb.SUPERSEDED, pb.RELEASE_REASON_UNSPECIFIED):
        assert await shop.release(order, reason) == ALREADY_ASSIGNED
    assert await shop.state(order) == State.ASSIGNED


async def test_a_start_and_a_cancel_at_once_have_one_winner(shop: Shop) -> None:
    for _ in range(15):
        order, (assignment,) = await shop.dispatch(milk=1)
        released, lease = await asyncio.gather(shop.release(order), shop.start("dairy-1", assignment.assignment_id))
        assert (released == RELEASED) != lease.granted


async def test_assign_and_release_at_once_end_as_the_release_says(shop: Shop) -> None:
    for reason in (pb.CANCEL, pb.EXPIRE) * 8:
        order = new()
        await shop.reserve(order, milk=1)
        assigned, released = await asyncio.gather(shop.assign(order, milk=1), shop.release(order, reason))
        expected = State.RELEASED if released == RELEASED else State.ASSIGNED
        assert await shop.state(order) == expected
        assert assigned.success or released == RELEASED
        if expected == State.ASSIGNED:
            assert await shop.release(order) == RELEASED


async def test_an_unknown_order_is_unknown(shop: Shop) -> None:
    assert await shop.state(new()) == State.UNKNOWN


async def test_get_order_tells_what_was_picked(shop: Shop) -> None:
    order, (dairy, produce) = await shop.dispatch(milk=3, apple=1)
    await shop.pick(dairy, Picked.SHORT, milk=1)
    assert await shop.state(order) == State.ASSIGNED
    await shop.pick(produce)
    assert await shop.state(order) == State.COMPLETED
    assert await shop.picked(order) == {"apple": 1, "milk": 1}


async def test_a_dispatch_is_announced_to_its_class(shop: Shop) -> None:
    async with (
        open_subscriber([shop.settings.robots_zmq_addr], topics=[b"dairy"]) as subscriber,
        asyncio.timeout(DEADLINE_S),
    ):
        heard = asyncio.ensure_future(subscriber.recv_multipart())
        known = {}
        while not heard.done():  # a subscription takes a moment to reach the publisher
            order, (assignment, *_) = await shop.dispatch(milk=1, apple=1)
            known[order] = assignment.assignment_id
            await asyncio.wait([heard], timeout=0.2)
        topic, payload = await heard
    task = decode(payload)
    assert (topic, task.order_type, task.robot_class) == (b"dairy", "PICK", "dairy")
    assert task.assignment_id == known[task.order_id]
    assert [(item.sku, item.quantity, item.aisle) for item in task.items] == [("milk", 1, "dairy")]


async def test_the_audit_finds_what_was_tampered_with(shop: Shop) -> None:
    await shop.reserve(new(), milk=1)
    await shop.db.run("UPDATE inventory.stock SET on_hand = on_hand + 1, held = 0 WHERE sku = 'milk'")
    found = [violation.partition(":")[0] for violation in await shop.violations()]
    assert found == ["held_is_the_holds"]
    await shop.db.run("UPDATE inventory.stock SET on_hand = on_hand - 1, held = 1 WHERE sku = 'milk'")
