from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.robots.broadcast import decode
from autogrocery.kit.bus import open_subscriber
from tests.harness.running_inventory import DEADLINE_S, Picked, State, new

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory

RELEASED = pb.ReleaseItemsResponse.RELEASED
ALREADY_ASSIGNED = pb.ReleaseItemsResponse.ALREADY_ASSIGNED


async def test_each_aisle_of_an_order_goes_to_one_robot_of_its_class(inventory: RunningInventory) -> None:
    _, assignments = await inventory.dispatch(milk=1, yoghurt=2, apple=3)
    assigned = {one.robot_class: (one.robot_id, {item.sku: item.quantity for item in one.items}) for one in assignments}
    assert assigned == {"dairy": ("dairy-1", {"milk": 1, "yoghurt": 2}), "produce": ("produce-1", {"apple": 3})}


async def test_forty_concurrent_dispatches_of_one_order_assign_once(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, milk=1, apple=1)
    answers = await asyncio.gather(*(inventory.assign(order, milk=1, apple=1) for _ in range(40)))
    assert all(answer.success for answer in answers)
    assert {tuple(one.assignment_id for one in answer.assignments) for answer in answers} == {
        tuple(one.assignment_id for one in answers[0].assignments)
    }
    assert len(await inventory.work("dairy-1")) == 1


async def test_dispatch_repeated_after_picking_returns_same_assignments(inventory: RunningInventory) -> None:
    order, assignments = await inventory.dispatch(milk=1)
    await inventory.pick(assignments[0])
    assert list((await inventory.assign(order, milk=1)).assignments) == assignments


async def test_other_items_on_a_dispatched_order_are_refused(inventory: RunningInventory) -> None:
    order, _ = await inventory.dispatch(milk=1)
    assert not (await inventory.assign(order, milk=2)).success
    assert await inventory.available("milk") == [49]


async def test_a_dispatch_replaces_a_hold_for_other_items(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, milk=10)
    answer = await inventory.assign(order, milk=2, apple=1)
    assert answer.success
    assert await inventory.available("apple", "milk") == [49, 48]


async def test_dispatch_that_cannot_replace_a_hold_leaves_it(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, milk=10)
    assert not (await inventory.assign(order, milk=10, apple=51)).success
    assert await inventory.available("apple", "milk") == [50, 40]
    assert await inventory.state(order) == State.HELD


async def test_a_dispatch_without_a_hold_takes_the_stock_or_is_refused(inventory: RunningInventory) -> None:
    taken, refused = new(), new()
    assert (await inventory.assign(taken, milk=30)).success
    assert not (await inventory.assign(refused, milk=30)).success
    assert await inventory.state(refused) == State.UNKNOWN


async def test_dispatch_on_a_lapsed_hold_takes_stock_again_or_is_refused(inventory: RunningInventory) -> None:
    first, second = new(), new()
    await inventory.reserve(first, milk=30)
    await inventory.reserve(second, milk=20)
    await inventory.lapse(first, second)
    assert await inventory.available("milk") == [50]
    assert (await inventory.assign(first, milk=30)).success
    await inventory.reserve(new(), milk=10)
    assert not (await inventory.assign(second, milk=20)).success
    assert await inventory.available("milk") == [10]


async def test_forty_dispatches_without_holds_do_not_oversell(inventory: RunningInventory) -> None:
    answers = await asyncio.gather(*(inventory.assign(new(), milk=3, apple=1) for _ in range(40)))
    assert sum(answer.success for answer in answers) == 16
    assert await inventory.available("apple", "milk") == [34, 2]


async def test_concurrent_reserve_and_assign_of_one_order_take_stock_once(inventory: RunningInventory) -> None:
    orders = [new() for _ in range(10)]
    calls = [
        call(order, milk=1, apple=1)
        for order in orders
        for call in (inventory.assign, inventory.reserve, inventory.assign)
    ]
    answers = await asyncio.gather(*calls)
    assert all(answer.success for answer in answers)
    assert await inventory.available("apple", "milk") == [40, 40]


async def test_dispatch_without_a_robot_of_a_class_changes_nothing(inventory: RunningInventory) -> None:
    await inventory.stock(steak=5)
    order, unheld = new(), new()
    await inventory.reserve(order, milk=1, steak=1)
    refused = await inventory.assign(order, milk=1, steak=1)
    assert (refused.success, refused.message) == (False, "no robots of class meat")
    assert await inventory.state(order) == State.HELD
    assert not (await inventory.assign(unheld, steak=1)).success
    assert await inventory.state(unheld) == State.UNKNOWN
    await inventory.fleet(**{"meat-1": "meat", "dairy-1": "dairy"})
    assert (await inventory.assign(order, milk=1, steak=1)).success


async def test_assignments_are_spread_over_the_robots_of_a_class(inventory: RunningInventory) -> None:
    await inventory.fleet(**{"dairy-1": "dairy", "dairy-2": "dairy", "dairy-3": "dairy"})
    chosen = [(await inventory.dispatch(milk=1))[1][0].robot_id for _ in range(9)]
    assert {robot: chosen.count(robot) for robot in chosen} == {"dairy-1": 3, "dairy-2": 3, "dairy-3": 3}


async def test_robot_with_full_queue_gets_no_assignment(inventory: RunningInventory) -> None:
    await inventory.restart(robot_queue_max=2)
    for _ in range(2):
        await inventory.dispatch(milk=1)
    assert not (await inventory.assign(new(), milk=1)).success


async def test_release_frees_stock_and_refuses_later_calls(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, milk=10)
    assert await inventory.release(order, pb.EXPIRE) == RELEASED
    assert await inventory.release(order, pb.EXPIRE) == RELEASED
    assert await inventory.available("milk") == [50]
    assert (await inventory.reserve(order, milk=10)).refusal == pb.RELEASED
    assert not (await inventory.assign(order, milk=10)).success
    assert await inventory.state(order) == State.RELEASED


async def test_a_release_before_the_first_reserve_leaves_a_tombstone(inventory: RunningInventory) -> None:
    order = new()
    answers = await asyncio.gather(*(inventory.release(order) for _ in range(10)))
    assert set(answers) == {RELEASED}
    assert (await inventory.reserve(order, milk=1)).refusal == pb.RELEASED
    assert await inventory.available("milk") == [50]


async def test_a_lapsed_order_is_released(inventory: RunningInventory) -> None:
    order = new()
    await inventory.reserve(order, milk=10)
    await inventory.lapse(order)
    assert await inventory.available("milk") == [50]
    assert await inventory.release(order, pb.EXPIRE) == RELEASED
    assert not (await inventory.assign(order, milk=10)).success


async def test_cancel_withdraws_a_dispatch_before_any_start(inventory: RunningInventory) -> None:
    order, assignments = await inventory.dispatch(milk=2, apple=1)
    assert await inventory.release(order) == RELEASED
    assert await inventory.available("apple", "milk") == [50, 50]
    assert not (await inventory.start("dairy-1", assignments[0].assignment_id)).granted
    assert await inventory.work("dairy-1") == []
    assert not (await inventory.assign(order, milk=2, apple=1)).success


async def test_cancel_after_the_first_start_is_already_assigned(inventory: RunningInventory) -> None:
    order, assignments = await inventory.dispatch(milk=2, apple=1)
    assert (await inventory.start("dairy-1", assignments[0].assignment_id)).granted
    assert await inventory.release(order) == ALREADY_ASSIGNED
    for assignment in assignments:
        await inventory.pick(assignment)
    assert await inventory.release(order) == ALREADY_ASSIGNED
    assert await inventory.state(order) == State.COMPLETED


async def test_only_a_cancel_withdraws_a_dispatch(inventory: RunningInventory) -> None:
    order, _ = await inventory.dispatch(milk=2)
    for reason in (pb.EXPIRE, pb.NO_ROBOTS, pb.SUPERSEDED, pb.RELEASE_REASON_UNSPECIFIED):
        assert await inventory.release(order, reason) == ALREADY_ASSIGNED
    assert await inventory.state(order) == State.ASSIGNED


async def test_of_concurrent_start_and_cancel_one_succeeds(inventory: RunningInventory) -> None:
    for _ in range(15):
        order, (assignment,) = await inventory.dispatch(milk=1)
        released, lease = await asyncio.gather(
            inventory.release(order), inventory.start("dairy-1", assignment.assignment_id)
        )
        assert (released == RELEASED) != lease.granted


async def test_concurrent_assign_and_release_end_as_release_returns(inventory: RunningInventory) -> None:
    for reason in (pb.CANCEL, pb.EXPIRE) * 8:
        order = new()
        await inventory.reserve(order, milk=1)
        assigned, released = await asyncio.gather(inventory.assign(order, milk=1), inventory.release(order, reason))
        expected = State.RELEASED if released == RELEASED else State.ASSIGNED
        assert await inventory.state(order) == expected
        assert assigned.success or released == RELEASED
        if expected == State.ASSIGNED:
            assert await inventory.release(order) == RELEASED


async def test_an_unknown_order_is_unknown(inventory: RunningInventory) -> None:
    assert await inventory.state(new()) == State.UNKNOWN


async def test_get_order_returns_the_picks(inventory: RunningInventory) -> None:
    order, (dairy, produce) = await inventory.dispatch(milk=3, apple=1)
    await inventory.pick(dairy, Picked.SHORT, milk=1)
    assert await inventory.state(order) == State.ASSIGNED
    await inventory.pick(produce)
    assert await inventory.state(order) == State.COMPLETED
    assert await inventory.picked(order) == {"apple": 1, "milk": 1}


async def test_a_dispatch_is_announced_to_its_class(inventory: RunningInventory) -> None:
    async with (
        open_subscriber([inventory.settings.robots_zmq_addr], topics=[b"dairy"]) as subscriber,
        asyncio.timeout(DEADLINE_S),
    ):
        received = asyncio.ensure_future(subscriber.recv_multipart())
        known = {}
        while not received.done():  # a subscription takes a moment to reach the publisher
            order, (assignment, *_) = await inventory.dispatch(milk=1, apple=1)
            known[order] = assignment.assignment_id
            await asyncio.wait([received], timeout=0.2)
        topic, payload = await received
    task = decode(payload)
    assert (topic, task.order_type, task.robot_class) == (b"dairy", "PICK", "dairy")
    assert task.assignment_id == known[task.order_id]
    assert [(item.sku, item.quantity, item.aisle) for item in task.items] == [("milk", 1, "dairy")]


async def test_audit_finds_a_tampered_stock_row(inventory: RunningInventory) -> None:
    await inventory.reserve(new(), milk=1)
    await inventory.db.run("UPDATE inventory.stock SET on_hand = on_hand + 1, held = 0 WHERE sku = 'milk'")
    found = [violation.partition(":")[0] for violation in await inventory.violations()]
    assert found == ["held_is_the_holds"]
    await inventory.db.run("UPDATE inventory.stock SET on_hand = on_hand - 1, held = 1 WHERE sku = 'milk'")
