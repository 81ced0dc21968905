from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.harness.running_inventory import LEASE_S, SEEN_S, Picked, State, badge, code_of, new, until

if TYPE_CHECKING:
    from tests.harness.running_inventory import Shop

Result = pb.ReportPickResponse


async def lapsed_lease(shop: Shop, assignment_id: str) -> None:
    async def over() -> bool:
        row = await shop.db.row(
            "SELECT lease_until < now() AS over FROM inventory.assignments WHERE assignment_id = $1", assignment_id
        )
        return row is not None and bool(row["over"])

    await until(over, 5 * LEASE_S)


async def test_everything_picked_completes_the_order(shop: Shop) -> None:
    order, assignments = await shop.dispatch(milk=2, apple=1)
    for assignment in assignments:
        assert await shop.pick(assignment) == Result.ACCEPTED
    assert await shop.state(order) == State.COMPLETED
    assert await shop.picked(order) == {"apple": 1, "milk": 2}


async def test_the_last_two_reports_at_once_finish_the_order(shop: Shop) -> None:
    for _ in range(10):
        order, assignments = await shop.dispatch(milk=1, apple=1, baguette=1)
        assert set(await asyncio.gather(*map(shop.pick, assignments))) == {Result.ACCEPTED}
        assert await shop.state(order) == State.COMPLETED


async def test_what_a_short_pick_missed_is_written_off(shop: Shop) -> None:
    order, (assignment,) = await shop.dispatch(milk=5)
    await shop.pick(assignment, Picked.SHORT, milk=3)
    assert await shop.state(order) == State.COMPLETED
    assert await shop.available("milk") == [45]
    shrink = await shop.db.row("SELECT delta FROM inventory.ledger WHERE cause = 'shrink'")
    assert shrink is not None
    assert shrink["delta"] == -2


async def test_fewer_than_all_is_short_whatever_the_robot_calls_it(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=5)
    await shop.pick(assignment, Picked.PICKED, milk=3)
    row = await shop.db.row("SELECT state FROM inventory.assignments")
    assert row is not None
    assert row["state"] == "SHORT"


async def test_what_a_robot_that_gave_up_left_goes_back_on_sale(shop: Shop) -> None:
    order, (assignment,) = await shop.dispatch(milk=5)
    await shop.pick(assignment, Picked.FAILED, milk=2)
    assert await shop.state(order) == State.COMPLETED
    assert await shop.available("milk") == [48]


async def test_nothing_picked_fails_the_order(shop: Shop) -> None:
    order, (assignment,) = await shop.dispatch(milk=5)
    await shop.pick(assignment, Picked.FAILED)
    assert await shop.state(order) == State.FAILED
    assert await shop.available("milk") == [50]


async def test_a_repeated_report_counts_once(shop: Shop) -> None:
    order, (assignment,) = await shop.dispatch(milk=5)
    lease = await shop.start("dairy-1", assignment.assignment_id)
    results = await asyncio.gather(
        *(shop.report("dairy-1", assignment.assignment_id, lease.fence, milk=5) for _ in range(10))
    )
    assert sorted(results) == [Result.ACCEPTED] + [Result.DUPLICATE] * 9
    assert await shop.picked(order) == {"milk": 5}


async def test_a_report_after_a_restart_is_still_a_duplicate(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=5)
    lease = await shop.start("dairy-1", assignment.assignment_id)
    await shop.report("dairy-1", assignment.assignment_id, lease.fence)
    await shop.restart()
    assert await shop.report("dairy-1", assignment.assignment_id, lease.fence) == Result.DUPLICATE


@pytest.mark.parametrize("picks", [{"milk": 6}, {"milk": -1}, {"apple": 1}, {"moonrock": 1}])
async def test_counts_the_assignment_does_not_have_are_invalid(shop: Shop, picks: dict[str, int]) -> None:
    order, (assignment, _) = await shop.dispatch(milk=5, apple=1)
    lease = await shop.start("dairy-1", assignment.assignment_id)
    report = shop.report("dairy-1", assignment.assignment_id, lease.fence, **picks)
    assert await code_of(report) is grpc.StatusCode.INVALID_ARGUMENT
    assert await shop.picked(order) == {}


async def test_a_start_asked_again_keeps_its_fence(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=1)
    first = await shop.start("dairy-1", assignment.assignment_id)
    again = await shop.start("dairy-1", assignment.assignment_id)
    assert again.granted
    assert again.fence == first.fence


async def test_twenty_robots_starting_at_once_have_one_lease(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=1)
    leases = await asyncio.gather(*(shop.start(f"dairy-{i}", assignment.assignment_id) for i in range(20)))
    assert sum(lease.granted for lease in leases) == 1


async def test_a_dead_robots_lease_goes_to_another_and_its_report_is_stale(shop: Shop) -> None:
    order, (assignment,) = await shop.dispatch(milk=1)
    dead = await shop.start("dairy-1", assignment.assignment_id)
    assert not (await shop.start("dairy-2", assignment.assignment_id)).granted
    assert await shop.work("dairy-2") == []
    await lapsed_lease(shop, assignment.assignment_id)
    assert [one.assignment_id for one in await shop.work("dairy-2")] == [assignment.assignment_id]
    taken = await shop.start("dairy-2", assignment.assignment_id)
    assert taken.fence > dead.fence
    assert await shop.report("dairy-1", assignment.assignment_id, dead.fence) == Result.STALE_FENCE
    assert await shop.state(order) == State.ASSIGNED
    assert await shop.report("dairy-2", assignment.assignment_id, taken.fence) == Result.ACCEPTED
    assert await shop.report("dairy-1", assignment.assignment_id, dead.fence) == Result.STALE_FENCE


async def test_a_heartbeat_keeps_a_lease_and_tells_a_lost_one(shop: Shop) -> None:
    _, (kept,) = await shop.dispatch(milk=1)
    _, (lost,) = await shop.dispatch(yoghurt=1)
    keep = await shop.start("dairy-1", kept.assignment_id)
    lose = await shop.start("dairy-1", lost.assignment_id)
    await lapsed_lease(shop, lost.assignment_id)
    await shop.start("dairy-2", lost.assignment_id)
    assert await shop.beat("dairy-1", keep.fence, lose.fence, 999_999) == [lose.fence, 999_999]
    assert not (await shop.start("dairy-2", kept.assignment_id)).granted


async def test_a_lapsed_lease_nobody_took_is_still_good(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=1)
    lease = await shop.start("dairy-1", assignment.assignment_id)
    await lapsed_lease(shop, assignment.assignment_id)
    assert await shop.report("dairy-1", assignment.assignment_id, lease.fence) == Result.ACCEPTED


async def test_a_robot_that_restarts_finds_its_task_first(shop: Shop) -> None:
    _, (started,) = await shop.dispatch(milk=1)
    await shop.start("dairy-1", started.assignment_id)
    _, (waiting,) = await shop.dispatch(yoghurt=1)
    work = [one.assignment_id for one in await shop.work("dairy-1")]
    assert work == [started.assignment_id, waiting.assignment_id]


async def test_open_work_of_a_robot_not_seen_goes_to_another(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=1)
    assert await shop.work("dairy-2") == []

    async def offered() -> bool:
        return [one.assignment_id for one in await shop.work("dairy-2")] == [assignment.assignment_id]

    await until(offered, 4 * SEEN_S)
    assert (await shop.start("dairy-2", assignment.assignment_id)).granted


async def test_a_robot_not_seen_is_not_chosen(shop: Shop) -> None:
    await shop.db.run("UPDATE inventory.robots SET last_seen_at = now() - interval '1 hour' WHERE robot_id = 'dairy-1'")
    assert (await shop.assign(new(), milk=1)).message == "no robots of class dairy"
    await shop.fleet(**{"dairy-2": "dairy"})
    _, (assignment,) = await shop.dispatch(milk=1)
    assert assignment.robot_id == "dairy-2"


async def code_with(shop: Shop, metadata: Any) -> grpc.StatusCode:
    return await code_of(
        shop.stub.ListWork(pb.ListWorkRequest(robot_id="dairy-1", robot_class="dairy"), metadata=metadata)
    )


async def test_robots_calls_want_the_robots_own_token(shop: Shop) -> None:
    assert await code_with(shop, None) is grpc.StatusCode.UNAUTHENTICATED
    assert await code_with(shop, badge("dairy-1", "dairy", key="k" * 32)) is grpc.StatusCode.UNAUTHENTICATED
    assert await code_with(shop, badge("dairy-1", "dairy", audience="ordering")) is grpc.StatusCode.UNAUTHENTICATED
    assert await code_with(shop, badge("dairy-2", "dairy")) is grpc.StatusCode.PERMISSION_DENIED
    assert await code_with(shop, badge("dairy-1", "meat")) is grpc.StatusCode.PERMISSION_DENIED
    assert await code_with(shop, badge("dairy-1", "dairy")) is grpc.StatusCode.OK


async def test_a_robot_starts_only_what_its_class_may_pick(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=1)
    assert await code_of(shop.start("meat-1", assignment.assignment_id)) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_report_on_no_assignment_is_an_invalid_argument(shop: Shop) -> None:
    assert await code_of(shop.report("dairy-1", new(), 1)) is grpc.StatusCode.INVALID_ARGUMENT
    assert not (await shop.start("dairy-1", new())).granted
