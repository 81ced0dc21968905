from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.kit.bus import open_publisher
from autogrocery.kit.process import faults
from autogrocery.robots.core import plan
from tests.harness.robot_inventory import RESULT
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.robot_network import RobotNetwork


def picked(report: wire.ReportPickRequest) -> dict[str, int]:
    return {item.sku: item.picked for item in report.items}


async def test_pick_is_reported_by_a_robot_of_its_class(network: RobotNetwork) -> None:
    network.fake_inventory.add_pick("one", "bread", b1=2, b2=1)
    network.fake_inventory.add_pick("two", "dairy", m1=3)
    async with network.inventory(), network.gateway(), network.fleet("bread-1", "dairy-1"):
        await network.reported("one", "two")
    one, two = network.fake_inventory.tasks["one"].report, network.fake_inventory.tasks["two"].report
    assert (one.robot_id, one.status, picked(one)) == ("bread-1", wire.ReportPickRequest.PICKED, {"b1": 2, "b2": 1})
    assert (two.robot_id, two.status, picked(two)) == ("dairy-1", wire.ReportPickRequest.PICKED, {"m1": 3})


async def test_fleet_shares_one_inventory(network: RobotNetwork) -> None:
    network.fake_inventory.add_pick("pick", "bread", b1=2)
    network.fake_inventory.add_putaway("delivery", "dairy", m1=3)
    async with network.inventory(), network.gateway(), network.fleet("bread-1", "dairy-1"):
        await network.reported("pick", "delivery")
        await until(lambda: len(set(network.fake_inventory.heartbeats)) == 2)


async def test_announcement_wakes_the_class_at_once(network: RobotNetwork) -> None:
    address = f"tcp://127.0.0.1:{network.bus_port}"
    async with (
        open_publisher("ROBOTS_ZMQ_ADDR", address, point="robots.announce") as bus,
        network.inventory(),
        network.gateway(),
        network.fleet("bread-1"),
    ):
        for number in range(8):
            name = f"task-{number}"
            network.fake_inventory.add_pick(name, b1=1)
            await until(lambda name=name: bus.send(b"bread", b"x") and network.fake_inventory.tasks[name].report)
            # Listing work every 1.5 s alone would take 12 s for eight tasks, one after the other.
    assert len(network.fake_inventory.reports) == 8


async def test_short_pick_is_reported_as_short(network: RobotNetwork) -> None:
    network.fake_inventory.add_pick("one", b1=9, b2=9, b3=9)
    async with network.inventory(), network.gateway(), network.fleet("bread-1", ROBOTS_SHORT_PERCENT="100"):
        await network.reported("one")
    report = network.fake_inventory.tasks["one"].report
    expected = plan.plan_pick(
        plan.Assignment("one", "bread", "bread", tuple(plan.Line(sku, 9) for sku in ("b1", "b2", "b3"))),
        "bread-1",
        1,
        plan.FaultRates(1, 100, 0),
    )
    assert report.status == wire.ReportPickRequest.SHORT
    assert picked(report) == {line.sku: line.quantity for line in expected.picked}


async def test_report_with_lost_response_is_repeated_with_same_sequence(network: RobotNetwork) -> None:
    network.fake_inventory.add_pick("one", b1=1)
    lost = faults.Fault("inventory.report_pick", faults.Mode.EFFECT_THEN_ERROR, 1)
    async with network.inventory(), network.gateway():
        with faults.arm(lost):
            async with network.fleet("bread-1"):
                await until(lambda: len(network.fake_inventory.reports) == 2)
    (_, fence, sequence, first), (_, again_fence, again, second) = network.fake_inventory.reports
    assert (first, second) == ("ACCEPTED", "DUPLICATE")
    assert (fence, sequence) == (again_fence, again)


async def test_reports_of_one_robot_have_increasing_sequences(network: RobotNetwork) -> None:
    for name in ("one", "two", "three"):
        network.fake_inventory.add_pick(name, b1=1)
    async with network.inventory(), network.gateway(), network.fleet("bread-1"):
        await network.reported("one", "two", "three")
    assert [sequence for _, _, sequence, _ in network.fake_inventory.reports] == [1, 2, 3]


def assignment_with_one_crash() -> str:
    """Return the id of an assignment during which each robot crashes under fence 1 and neither under fence 2."""
    rates = plan.FaultRates(1, 0, 50)
    for number in count():
        task = plan.Assignment(f"one-crash-{number}", "bread", "bread", (plan.Line("b1", 1),))
        crash = {
            (robot, fence): plan.plan_pick(task, robot, fence, rates).crash_after_s
            for robot in ("bread-1", "bread-2")
            for fence in (1, 2)
        }
        if all((crash[robot, 1] is None, crash[robot, 2] is None) == (False, True) for robot in ("bread-1", "bread-2")):
            return task.assignment_id
    raise AssertionError


async def test_report_after_simulated_death_returns_stale_fence(network: RobotNetwork) -> None:
    network.fake_inventory.lease_s = 1.0
    name = assignment_with_one_crash()
    network.fake_inventory.add_pick(name, b1=1)
    async with network.inventory(), network.gateway(), network.fleet("bread-1", "bread-2", ROBOTS_CRASH_PERCENT="50"):
        await until(lambda: len(network.fake_inventory.reports) == 2)
    (other, _, _, first), (crashed, _, _, second) = network.fake_inventory.reports
    assert (first, second) == ("ACCEPTED", "STALE_FENCE")
    assert other != crashed
    assert network.fake_inventory.tasks[name].report.robot_id == other


async def test_pick_is_abandoned_when_its_fence_is_lost(network: RobotNetwork) -> None:
    network.fake_inventory.add_pick("long", b1=100)  # 820 s at speed 100
    async with network.inventory(), network.gateway(), network.fleet("bread-1", ROBOTS_SPEED="100"):
        await until(lambda: network.fake_inventory.tasks["long"].robot_id)
        network.fake_inventory.tasks["long"].robot_id = "bread-9"
        network.fake_inventory.add_pick("next", b1=1)
        await network.reported("next")
    assert [(robot, result) for robot, _, _, result in network.fake_inventory.reports] == [("bread-1", "ACCEPTED")]


async def test_every_report_arrives_after_inventory_restarts(network: RobotNetwork) -> None:
    for number in range(4):
        network.fake_inventory.add_pick(f"task-{number}", b1=1)
    async with network.gateway(), network.fleet("bread-1", ROBOTS_SPEED="40"):
        async with network.inventory():
            await until(lambda: network.fake_inventory.starts)
        async with network.inventory():
            await network.reported(*network.fake_inventory.tasks)
    assert {result for *_, result in network.fake_inventory.reports} <= {"ACCEPTED", "DUPLICATE"}


async def test_robots_log_in_once_the_gateway_starts(network: RobotNetwork) -> None:
    network.fake_inventory.add_pick("one", b1=1)
    refused_first = faults.Fault("gateway.login", faults.Mode.ERROR_BEFORE, 1)
    with faults.arm(refused_first) as calls:
        async with network.inventory(), network.fleet("bread-1"):
            await until(lambda: calls.get("gateway.login", 0) > 1)
            async with network.gateway():
                await network.reported("one")


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
async def test_failed_login_is_repeated(network: RobotNetwork, answer: dict[str, object]) -> None:
    network.fake_inventory.add_pick("one", b1=1)
    network.login_server.answers.append(web.Response(**answer))
    async with network.inventory(), network.gateway(), network.fleet("bread-1"):
        await network.reported("one")
    assert network.login_server.calls == ["login", "login"]


async def test_token_is_refreshed_before_it_expires(network: RobotNetwork) -> None:
    network.login_server.expires_in = 1.0
    async with network.inventory(), network.gateway(), network.fleet("bread-1"):
        await until(lambda: "refresh" in network.login_server.calls)
    assert network.login_server.calls.count("login") == 1


async def test_refused_refresh_leads_to_login(network: RobotNetwork) -> None:
    network.login_server.expires_in = 1.0
    async with network.inventory(), network.gateway(), network.fleet("bread-1"):
        await until(lambda: network.fake_inventory.heartbeats)
        network.login_server.refreshable.clear()
        await until(lambda: network.login_server.calls.count("login") == 2)


async def test_token_refused_by_inventory_leads_to_login(network: RobotNetwork) -> None:
    async with network.inventory(), network.gateway(), network.fleet("bread-1"):
        await until(lambda: network.fake_inventory.heartbeats)
        network.login_server.access.clear()
        network.fake_inventory.add_pick("one", b1=1)
        await network.reported("one", timeout_s=20.0)
    assert network.login_server.calls == ["login", "login"]


async def test_inventory_that_refuses_every_token_does_not_cause_login_flood(network: RobotNetwork) -> None:
    network.fake_inventory.login_server = type(network.login_server)()
    async with network.inventory(), network.gateway(), network.fleet("bread-1", "bread-2"):
        await until(lambda: len(network.login_server.calls) >= 2)
        with pytest.raises(TimeoutError):
            await until(lambda: len(network.login_server.calls) > 2, timeout_s=3.0)


async def test_offline_robot_sends_no_heartbeat(network: RobotNetwork) -> None:
    network.fake_inventory.lease_s = 4.0
    network.fake_inventory.add_pick("one", b1=1)
    async with network.inventory(), network.gateway(), network.fleet("bread-1", ROBOTS_CRASH_PERCENT="100"):
        await until(lambda: network.fake_inventory.starts)
        before = len(network.fake_inventory.heartbeats)
        await network.reported("one")
        assert len(network.fake_inventory.heartbeats) <= before + 1  # one that was in flight
    assert network.fake_inventory.reports[0][3] == RESULT.Result.Name(RESULT.ACCEPTED)
