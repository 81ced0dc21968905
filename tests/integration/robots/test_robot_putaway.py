from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from autogrocery.kit.process import faults
from autogrocery.robots.core.plan import Assignment, FaultRates, Line, Placed
from autogrocery.robots.core.putaway import plan_putaway
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.robot_inventory import Task
    from tests.harness.robot_network import RobotNetwork

ASSIGNMENTS = st.builds(
    Assignment,
    st.uuids().map(str),
    st.just("bread"),
    st.just("bread"),
    st.lists(
        st.builds(Line, st.text("abc", min_size=1), st.integers(1, 50)),
        min_size=1,
        max_size=10,
        unique_by=lambda line: line.sku,
    ).map(tuple),
    putaway=st.just(True),  # noqa: FBT003
)
PERCENT = st.floats(0, 100)
RATES = st.builds(FaultRates, st.integers(), PERCENT, PERCENT, PERCENT, PERCENT, PERCENT)


def placed(task: Task) -> dict[str, tuple[int, int]]:
    return {sku: (item.received, item.damaged) for sku, item in task.placed.items()}


@given(ASSIGNMENTS, RATES)
def test_received_units_are_the_same_for_every_robot(assignment: Assignment, rates: FaultRates) -> None:
    one, other = [plan_putaway(assignment, robot, fence, rates) for robot, fence in (("r", 1), ("s", 2))]
    assert one.steps == other.steps
    assert [step.placed.sku for step in one.steps] == [line.sku for line in assignment.lines]


@given(ASSIGNMENTS, RATES, st.data())
def test_plan_leaves_out_lines_reported_whole(assignment: Assignment, rates: FaultRates, data: st.DataObject) -> None:
    all_ = [step.placed for step in plan_putaway(assignment, "r", 1, rates).steps]
    done = data.draw(st.integers(0, len(all_)))
    rest = plan_putaway(assignment, "s", 2, rates, all_[:done])
    assert [step.placed for step in rest.steps] == all_[done:]


@given(ASSIGNMENTS, RATES)
def test_damaged_and_surplus_units_are_bounded(assignment: Assignment, rates: FaultRates) -> None:
    for step, line in zip(plan_putaway(assignment, "r", 1, rates).steps, assignment.lines, strict=True):
        assert 0 <= step.placed.damaged <= step.placed.received <= line.quantity + max(1, line.quantity // 10)


@given(ASSIGNMENTS, st.integers())
def test_zero_fault_rates_put_away_everything(assignment: Assignment, seed: int) -> None:
    drawn = plan_putaway(assignment, "r", 1, FaultRates(seed, 100, 0))
    assert [step.placed for step in drawn.steps] == [Placed(line.sku, line.quantity, 0) for line in assignment.lines]
    assert drawn.crash_at is None


@given(ASSIGNMENTS, st.integers())
def test_each_fault_rate_changes_received_units(assignment: Assignment, seed: int) -> None:
    quantities = [line.quantity for line in assignment.lines]

    def units(rates: FaultRates) -> list[tuple[int, int]]:
        return [(step.placed.received, step.placed.damaged) for step in plan_putaway(assignment, "r", 1, rates).steps]

    damaged, missing, surplus = (
        units(FaultRates(seed, 0, 0, 100)),
        units(FaultRates(seed, 0, 0, 0, 100)),
        units(FaultRates(seed, 0, 0, 0, 0, 100)),
    )
    assert all(total == n and bad > 0 for (total, bad), n in zip(damaged, quantities, strict=True))
    assert all(total < n for (total, _), n in zip(missing, quantities, strict=True))
    assert all(total > n for (total, _), n in zip(surplus, quantities, strict=True))


async def test_putaway_is_reported_line_by_line(network: RobotNetwork) -> None:
    task = network.fake_inventory.add_putaway("one", b1=3, b2=1, b3=2)
    async with network.inventory(), network.gateway(), network.fleet("bread-1", "dairy-1"):
        await network.reported("one")
    assert placed(task) == {"b1": (3, 0), "b2": (1, 0), "b3": (2, 0)}
    assert [(robot, result) for robot, _, _, result in network.fake_inventory.reports] == [("bread-1", "ACCEPTED")] * 3
    assert [item.sku for item in task.report.items] == ["b3"]


async def test_damaged_and_missing_units_are_reported(network: RobotNetwork) -> None:
    task = network.fake_inventory.add_putaway("one", b1=30, b2=30)
    rates = {"ROBOTS_DAMAGE_PERCENT": "100", "ROBOTS_MISSING_PERCENT": "100"}
    async with network.inventory(), network.gateway(), network.fleet("bread-1", **rates):
        await network.reported("one")
    drawn = plan_putaway(
        Assignment("one", "bread", "bread", (Line("b1", 30), Line("b2", 30))),
        "bread-1",
        1,
        FaultRates(1, 0, 0, 100, 100),
    )
    assert placed(task) == {step.placed.sku: (step.placed.received, step.placed.damaged) for step in drawn.steps}


async def test_putaway_report_with_lost_response_is_repeated_with_same_sequence(network: RobotNetwork) -> None:
    network.fake_inventory.add_putaway("one", b1=1)
    lost = faults.Fault("inventory.report_putaway", faults.Mode.EFFECT_THEN_ERROR, 1)
    async with network.inventory(), network.gateway():
        with faults.arm(lost):
            async with network.fleet("bread-1"):
                await until(lambda: len(network.fake_inventory.reports) == 2)
    (_, fence, sequence, first), (_, again_fence, again, second) = network.fake_inventory.reports
    assert (first, second) == ("ACCEPTED", "DUPLICATE")
    assert (fence, sequence) == (again_fence, again)


def putaway_with_one_crash() -> str:
    """Return the id of a two-line putaway: each robot crashes at line 2 under fence 1, neither under fence 2."""
    rates = FaultRates(1, 0, 50)
    for number in count():
        task = Assignment(f"one-crash-{number}", "bread", "bread", (Line("b1", 1), Line("b2", 1)), putaway=True)
        crashes = [
            (
                plan_putaway(task, robot, 1, rates).crash_at,
                plan_putaway(task, robot, 2, rates, [Placed("b1", 1, 0)]).crash_at,
            )
            for robot in ("bread-1", "bread-2")
        ]
        if crashes == [(1, None)] * 2:
            return task.assignment_id
    raise AssertionError


async def test_another_robot_continues_after_the_last_reported_line(network: RobotNetwork) -> None:
    network.fake_inventory.lease_s = 1.0
    name = putaway_with_one_crash()
    task = network.fake_inventory.add_putaway(name, b1=1, b2=1)
    async with network.inventory(), network.gateway(), network.fleet("bread-1", "bread-2", ROBOTS_CRASH_PERCENT="50"):
        await until(lambda: len(network.fake_inventory.reports) == 3)
    (crashed, *_, first), (other, _, _, second), (returned, *_, third) = network.fake_inventory.reports
    assert (first, second, third) == ("ACCEPTED", "ACCEPTED", "STALE_FENCE")
    assert crashed == returned != other
    assert task.report.robot_id == other
    assert [item.sku for item in task.report.items] == ["b2"]


async def test_putaway_is_abandoned_when_its_fence_is_lost(network: RobotNetwork) -> None:
    task = network.fake_inventory.add_putaway("long", b1=10_000)  # 100 s at speed 100
    async with network.inventory(), network.gateway(), network.fleet("bread-1", ROBOTS_SPEED="100"):
        await until(lambda: task.robot_id)
        task.robot_id = "bread-9"
        network.fake_inventory.add_pick("next", b1=1)
        await network.reported("next")
    assert [(robot, result) for robot, _, _, result in network.fake_inventory.reports] == [("bread-1", "ACCEPTED")]
