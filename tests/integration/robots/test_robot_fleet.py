from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.kit.bus import open_publisher
from autogrocery.kit.process import faults
from autogrocery.robots.core import plan
from tests.harness.robot_floor import RESULT, Floor, OldFloor, until

if TYPE_CHECKING:
    from tests.harness.robot_shop import Shop


def picked(report: wire.ReportPickRequest) -> dict[str, int]:
    return {item.sku: item.picked for item in report.items}


async def test_open_work_is_found_picked_and_reported_by_its_class(shop: Shop) -> None:
    shop.floor.put("one", "bread", b1=2, b2=1)
    shop.floor.put("two", "dairy", m1=3)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", "dairy-1"):
        await shop.reported("one", "two")
    one, two = shop.floor.tasks["one"].report, shop.floor.tasks["two"].report
    assert (one.robot_id, one.status, picked(one)) == ("bread-1", wire.ReportPickRequest.PICKED, {"b1": 2, "b2": 1})
    assert (two.robot_id, two.status, picked(two)) == ("dairy-1", wire.ReportPickRequest.PICKED, {"m1": 3})


async def test_a_fleets_calls_share_a_stream(shop: Shop) -> None:
    shop.floor = floor = Floor(shop.door)
    shop.floor.put("pick", "bread", b1=2)
    shop.floor.bring("delivery", "dairy", m1=3)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", "dairy-1"):
        await shop.reported("pick", "delivery")
        await until(lambda: len(set(floor.beats)) == 2)
    assert (floor.streams, floor.unary) == (1, 0)


async def test_an_inventory_that_knows_no_stream_is_asked_call_by_call(shop: Shop) -> None:
    shop.floor = OldFloor(shop.door)
    shop.floor.put("pick", "bread", b1=2)
    shop.floor.bring("delivery", "dairy", m1=3)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", "dairy-1"):
        await shop.reported("pick", "delivery")
        await until(lambda: len(set(shop.floor.beats)) == 2)
    assert shop.floor.unary >= 2 * 4


async def test_an_announcement_wakes_the_class_at_once(shop: Shop) -> None:
    address = f"tcp://127.0.0.1:{shop.bus_port}"
    async with (
        open_publisher("ROBOTS_ZMQ_ADDR", address, point="robots.announce") as bus,
        shop.inventory(),
        shop.gateway(),
        shop.fleet("bread-1"),
    ):
        for number in range(8):
            name = f"task-{number}"
            shop.floor.put(name, b1=1)
            await until(lambda name=name: bus.send(b"bread", b"x") and shop.floor.tasks[name].report)
            # Asking every 1.5 s alone would take 12 s for eight tasks put one after the other.
    assert len(shop.floor.told) == 8


async def test_short_shelves_are_reported_as_short(shop: Shop) -> None:
    shop.floor.put("one", b1=9, b2=9, b3=9)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", ROBOTS_SHORT_PERCENT="100"):
        await shop.reported("one")
    report = shop.floor.tasks["one"].report
    expected = plan.plan(
        plan.Assignment("one", "bread", "bread", tuple(plan.Line(sku, 9) for sku in ("b1", "b2", "b3"))),
        "bread-1",
        1,
        plan.Luck(1, 100, 0),
    )
    assert report.status == wire.ReportPickRequest.SHORT
    assert picked(report) == {line.sku: line.quantity for line in expected.picked}


async def test_a_report_whose_answer_is_lost_is_repeated_under_its_sequence(shop: Shop) -> None:
    shop.floor.put("one", b1=1)
    lost = faults.Fault("inventory.report_pick", faults.Mode.EFFECT_THEN_ERROR, 1)
    async with shop.inventory(), shop.gateway():
        with faults.arm(lost):
            async with shop.fleet("bread-1"):
                await until(lambda: len(shop.floor.told) == 2)
    (_, fence, sequence, first), (_, again_fence, again, second) = shop.floor.told
    assert (first, second) == ("ACCEPTED", "DUPLICATE")
    assert (fence, sequence) == (again_fence, again)


async def test_reports_of_one_robot_are_numbered_upwards(shop: Shop) -> None:
    for name in ("one", "two", "three"):
        shop.floor.put(name, b1=1)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1"):
        await shop.reported("one", "two", "three")
    assert [sequence for _, _, sequence, _ in shop.floor.told] == [1, 2, 3]


def fated() -> str:
    """An assignment under whose first fence either robot dies, and under the second neither."""
    luck = plan.Luck(1, 0, 50)
    for number in count():
        task = plan.Assignment(f"fated-{number}", "bread", "bread", (plan.Line("b1", 1),))
        crash = {
            (robot, fence): plan.plan(task, robot, fence, luck).crash_after_s
            for robot in ("bread-1", "bread-2")
            for fence in (1, 2)
        }
        if all((crash[robot, 1] is None, crash[robot, 2] is None) == (False, True) for robot in ("bread-1", "bread-2")):
            return task.assignment_id
    raise AssertionError


async def test_a_robot_back_from_the_dead_is_told_its_fence_is_stale(shop: Shop) -> None:
    shop.floor.lease_s = 1.0
    name = fated()
    shop.floor.put(name, b1=1)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", "bread-2", ROBOTS_CRASH_PERCENT="50"):
        await until(lambda: len(shop.floor.told) == 2)
    (saviour, _, _, first), (dead, _, _, second) = shop.floor.told
    assert (first, second) == ("ACCEPTED", "STALE_FENCE")
    assert saviour != dead
    assert shop.floor.tasks[name].report.robot_id == saviour


async def test_a_robot_that_lost_its_fence_puts_the_pick_down(shop: Shop) -> None:
    shop.floor.put("long", b1=100)  # 820 s at speed 100
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", ROBOTS_SPEED="100"):
        await until(lambda: shop.floor.tasks["long"].robot_id)
        shop.floor.tasks["long"].robot_id = "bread-9"
        shop.floor.put("next", b1=1)
        await shop.reported("next")
    assert [(robot, result) for robot, _, _, result in shop.floor.told] == [("bread-1", "ACCEPTED")]


async def test_an_inventory_that_goes_and_comes_back_gets_every_report(shop: Shop) -> None:
    for number in range(4):
        shop.floor.put(f"task-{number}", b1=1)
    async with shop.gateway(), shop.fleet("bread-1", ROBOTS_SPEED="40"):
        async with shop.inventory():
            await until(lambda: shop.floor.starts)
        async with shop.inventory():
            await shop.reported(*shop.floor.tasks)
    assert {result for *_, result in shop.floor.told} <= {"ACCEPTED", "DUPLICATE"}


async def test_robots_wait_for_a_gateway_that_is_not_up_yet(shop: Shop) -> None:
    shop.floor.put("one", b1=1)
    refused_first = faults.Fault("gateway.login", faults.Mode.ERROR_BEFORE, 1)
    with faults.arm(refused_first) as calls:
        async with shop.inventory(), shop.fleet("bread-1"):
            await until(lambda: calls.get("gateway.login", 0) > 1)
            async with shop.gateway():
                await shop.reported("one")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503, "headers": {"Retry-After": "1"}},
        {"status": 429, "headers": {"Retry-After": "1"}},
        {"status": 500, "text": "no JSON"},
        {"status": 200, "text": "no JSON"},
        {"status": 422, "text": "{}"},
        {"status": 401, "text": "{}"},
    ],
)
async def test_a_login_that_fails_is_tried_again(shop: Shop, answer: dict[str, object]) -> None:
    shop.floor.put("one", b1=1)
    shop.door.answers.append(web.Response(**answer))
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1"):
        await shop.reported("one")
    assert shop.door.calls == ["login", "login"]


async def test_a_token_is_renewed_before_it_ends(shop: Shop) -> None:
    shop.door.expires_in = 1.0
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1"):
        await until(lambda: "refresh" in shop.door.calls)
    assert shop.door.calls.count("login") == 1


async def test_a_robot_whose_renewal_is_refused_logs_in_again(shop: Shop) -> None:
    shop.door.expires_in = 1.0
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1"):
        await until(lambda: shop.floor.beats)
        shop.door.refreshable.clear()
        await until(lambda: shop.door.calls.count("login") == 2)


async def test_a_token_not_accepted_any_more_is_replaced_by_a_login(shop: Shop) -> None:
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1"):
        await until(lambda: shop.floor.beats)
        shop.door.access.clear()
        shop.floor.put("one", b1=1)
        await shop.reported("one", deadline_s=20.0)
    assert shop.door.calls == ["login", "login"]


async def test_an_inventory_that_accepts_no_token_does_not_flood_the_gateway(shop: Shop) -> None:
    shop.floor.door = type(shop.door)()
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", "bread-2"):
        await until(lambda: len(shop.door.calls) >= 2)
        with pytest.raises(TimeoutError):
            await until(lambda: len(shop.door.calls) > 2, deadline_s=3.0)


async def test_the_dead_do_not_beat(shop: Shop) -> None:
    shop.floor.lease_s = 4.0
    shop.floor.put("one", b1=1)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", ROBOTS_CRASH_PERCENT="100"):
        await until(lambda: shop.floor.starts)
        before = len(shop.floor.beats)
        await shop.reported("one")
        assert len(shop.floor.beats) <= before + 1  # one that was under way
    assert shop.floor.told[0][3] == RESULT.Result.Name(RESULT.ACCEPTED)
