from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.rpc.status import Code
from tests.harness.grpc_client import code_of
from tests.harness.running_inventory import Picked, State, new, robot_token

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory

Result = pb.ReportPickResponse


async def test_everything_picked_completes_the_order(inventory: RunningInventory) -> None:
    order, assignments = await inventory.dispatch(milk=2, apple=1)
    for assignment in assignments:
        assert await inventory.pick(assignment) == Result.ACCEPTED
    assert await inventory.state(order) == State.COMPLETED
    assert await inventory.picked(order) == {"apple": 1, "milk": 2}


async def test_concurrent_last_reports_close_the_order(inventory: RunningInventory) -> None:
    for _ in range(10):
        order, assignments = await inventory.dispatch(milk=1, apple=1, baguette=1)
        assert set(await asyncio.gather(*map(inventory.pick, assignments))) == {Result.ACCEPTED}
        assert await inventory.state(order) == State.COMPLETED


async def test_units_missing_from_a_short_pick_are_written_off(inventory: RunningInventory) -> None:
    order, (assignment,) = await inventory.dispatch(milk=5)
    await inventory.pick(assignment, Picked.SHORT, milk=3)
    assert await inventory.state(order) == State.COMPLETED
    assert await inventory.available("milk") == [45]
    shrink = await inventory.db.row("SELECT delta FROM inventory.ledger WHERE cause = 'shrink'")
    assert shrink is not None
    assert shrink["delta"] == -2


async def test_picked_report_with_fewer_units_is_stored_as_short(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=5)
    await inventory.pick(assignment, Picked.PICKED, milk=3)
    row = await inventory.db.row("SELECT state FROM inventory.assignments")
    assert row is not None
    assert row["state"] == "SHORT"


async def test_units_left_by_a_failed_pick_are_free_again(inventory: RunningInventory) -> None:
    order, (assignment,) = await inventory.dispatch(milk=5)
    await inventory.pick(assignment, Picked.FAILED, milk=2)
    assert await inventory.state(order) == State.COMPLETED
    assert await inventory.available("milk") == [48]


async def test_nothing_picked_fails_the_order(inventory: RunningInventory) -> None:
    order, (assignment,) = await inventory.dispatch(milk=5)
    await inventory.pick(assignment, Picked.FAILED)
    assert await inventory.state(order) == State.FAILED
    assert await inventory.available("milk") == [50]


async def test_a_repeated_report_counts_once(inventory: RunningInventory) -> None:
    order, (assignment,) = await inventory.dispatch(milk=5)
    lease = await inventory.start("dairy-1", assignment.assignment_id)
    results = await asyncio.gather(
        *(inventory.report("dairy-1", assignment.assignment_id, lease.fence, milk=5) for _ in range(10))
    )
    assert sorted(results) == [Result.ACCEPTED] + [Result.DUPLICATE] * 9
    assert await inventory.picked(order) == {"milk": 5}


async def test_a_report_after_a_restart_is_still_a_duplicate(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=5)
    lease = await inventory.start("dairy-1", assignment.assignment_id)
    await inventory.report("dairy-1", assignment.assignment_id, lease.fence)
    await inventory.restart()
    assert await inventory.report("dairy-1", assignment.assignment_id, lease.fence) == Result.DUPLICATE


@pytest.mark.parametrize("picks", [{"milk": 6}, {"milk": -1}, {"apple": 1}, {"moonrock": 1}])
async def test_counts_that_do_not_fit_the_assignment_are_invalid_arguments(
    inventory: RunningInventory, picks: dict[str, int]
) -> None:
    order, (assignment, _) = await inventory.dispatch(milk=5, apple=1)
    lease = await inventory.start("dairy-1", assignment.assignment_id)
    report = inventory.report("dairy-1", assignment.assignment_id, lease.fence, **picks)
    assert await code_of(report) is Code.INVALID_ARGUMENT
    assert await inventory.picked(order) == {}


async def test_repeated_start_keeps_its_fence(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    first = await inventory.start("dairy-1", assignment.assignment_id)
    again = await inventory.start("dairy-1", assignment.assignment_id)
    assert again.granted
    assert again.fence == first.fence


async def test_twenty_concurrent_starts_of_a_pick_grant_one_lease(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    leases = await asyncio.gather(*(inventory.start(f"dairy-{i}", assignment.assignment_id) for i in range(20)))
    assert sum(lease.granted for lease in leases) == 1


async def test_lease_of_a_dead_robot_moves_and_its_report_is_stale(inventory: RunningInventory) -> None:
    order, (assignment,) = await inventory.dispatch(milk=1)
    dead = await inventory.start("dairy-1", assignment.assignment_id)
    assert not (await inventory.start("dairy-2", assignment.assignment_id)).granted
    assert await inventory.work("dairy-2") == []
    await inventory.end_lease(assignment.assignment_id)
    assert [one.assignment_id for one in await inventory.work("dairy-2")] == [assignment.assignment_id]
    taken = await inventory.start("dairy-2", assignment.assignment_id)
    assert taken.fence > dead.fence
    assert await inventory.report("dairy-1", assignment.assignment_id, dead.fence) == Result.STALE_FENCE
    assert await inventory.state(order) == State.ASSIGNED
    assert await inventory.report("dairy-2", assignment.assignment_id, taken.fence) == Result.ACCEPTED
    assert await inventory.report("dairy-1", assignment.assignment_id, dead.fence) == Result.STALE_FENCE


async def test_heartbeat_renews_a_lease_and_returns_lost_fences(inventory: RunningInventory) -> None:
    _, (kept,) = await inventory.dispatch(milk=1)
    _, (lost,) = await inventory.dispatch(yoghurt=1)
    keep = await inventory.start("dairy-1", kept.assignment_id)
    lose = await inventory.start("dairy-1", lost.assignment_id)
    for assignment in (kept, lost):
        await inventory.end_lease(assignment.assignment_id)
    await inventory.start("dairy-2", lost.assignment_id)
    assert await inventory.beat("dairy-1", keep.fence, lose.fence, 999_999) == [lose.fence, 999_999]
    assert not (await inventory.start("dairy-2", kept.assignment_id)).granted


async def test_report_under_an_ended_lease_without_new_holder_is_accepted(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    lease = await inventory.start("dairy-1", assignment.assignment_id)
    await inventory.end_lease(assignment.assignment_id)
    assert await inventory.report("dairy-1", assignment.assignment_id, lease.fence) == Result.ACCEPTED


async def test_work_lists_the_robots_started_assignment_first(inventory: RunningInventory) -> None:
    _, (started,) = await inventory.dispatch(milk=1)
    await inventory.start("dairy-1", started.assignment_id)
    _, (waiting,) = await inventory.dispatch(yoghurt=1)
    work = [one.assignment_id for one in await inventory.work("dairy-1")]
    assert work == [started.assignment_id, waiting.assignment_id]


async def test_work_of_an_unseen_robot_is_listed_to_another(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    assert await inventory.work("dairy-2") == []

    await inventory.mark_unseen("dairy-1")
    assert [one.assignment_id for one in await inventory.work("dairy-2")] == [assignment.assignment_id]
    assert (await inventory.start("dairy-2", assignment.assignment_id)).granted


async def test_unseen_robot_is_not_assigned(inventory: RunningInventory) -> None:
    await inventory.mark_unseen("dairy-1")
    assert (await inventory.assign(new(), milk=1)).message == "no robots of class dairy"
    await inventory.fleet(**{"dairy-2": "dairy"})
    _, (assignment,) = await inventory.dispatch(milk=1)
    assert assignment.robot_id == "dairy-2"


async def code_with(inventory: RunningInventory, token: str | None) -> Code:
    return await code_of(
        inventory.stub.ListWork(pb.ListWorkRequest(robot_id="dairy-1", robot_class="dairy"), token=token)
    )


async def test_robot_call_requires_the_robots_own_token(inventory: RunningInventory) -> None:
    assert await code_with(inventory, None) is Code.UNAUTHENTICATED
    assert await code_with(inventory, robot_token("dairy-1", "dairy", key="k" * 32)) is Code.UNAUTHENTICATED
    assert await code_with(inventory, robot_token("dairy-1", "dairy", audience="ordering")) is Code.UNAUTHENTICATED
    assert await code_with(inventory, robot_token("dairy-2", "dairy")) is Code.PERMISSION_DENIED
    assert await code_with(inventory, robot_token("dairy-1", "meat")) is Code.PERMISSION_DENIED
    assert await code_with(inventory, robot_token("dairy-1", "dairy")) is Code.OK


async def test_start_of_pick_by_another_class_is_permission_denied(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    assert await code_of(inventory.start("meat-1", assignment.assignment_id)) is Code.PERMISSION_DENIED


async def test_report_on_unknown_assignment_is_an_invalid_argument(inventory: RunningInventory) -> None:
    assert await code_of(inventory.report("dairy-1", new(), 1)) is Code.INVALID_ARGUMENT
    assert not (await inventory.start("dairy-1", new())).granted
