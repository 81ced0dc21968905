from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from autogrocery.kit.process import faults
from autogrocery.robots.core.plan import Assignment, Line, Luck, Placed
from autogrocery.robots.core.putaway import plan_putaway
from tests.harness.robot_floor import until

if TYPE_CHECKING:
    from tests.harness.robot_floor import Task
    from tests.harness.robot_shop import Shop

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
LUCK = st.builds(Luck, st.integers(), PERCENT, PERCENT, PERCENT, PERCENT, PERCENT)


def placed(task: Task) -> dict[str, tuple[int, int]]:
    return {sku: (item.received, item.damaged) for sku, item in task.placed.items()}


@given(ASSIGNMENTS, LUCK)
def test_what_the_truck_brought_is_the_same_for_every_robot(assignment: Assignment, luck: Luck) -> None:
    one, other = [plan_putaway(assignment, robot, fence, luck) for robot, fence in (("r", 1), ("s", 2))]
    assert one.steps == other.steps
    assert [step.placed.sku for step in one.steps] == [line.sku for line in assignment.lines]


@given(ASSIGNMENTS, LUCK, st.data())
def test_a_robot_that_goes_on_leaves_alone_what_was_reported_whole(
    assignment: Assignment, luck: Luck, data: st.DataObject
) -> None:
    all_ = [step.placed for step in plan_putaway(assignment, "r", 1, luck).steps]
    done = data.draw(st.integers(0, len(all_)))
    rest = plan_putaway(assignment, "s", 2, luck, all_[:done])
    assert [step.placed for step in rest.steps] == all_[done:]


@given(ASSIGNMENTS, LUCK)
def test_no_more_is_damaged_than_came_and_little_more_comes_than_announced(assignment: Assignment, luck: Luck) -> None:
    for step, line in zip(plan_putaway(assignment, "r", 1, luck).steps, assignment.lines, strict=True):
        assert 0 <= step.placed.damaged <= step.placed.received <= line.quantity + max(1, line.quantity // 10)


@given(ASSIGNMENTS, st.integers())
def test_without_bad_luck_all_is_put_away_whole(assignment: Assignment, seed: int) -> None:
    drawn = plan_putaway(assignment, "r", 1, Luck(seed, 100, 0))
    assert [step.placed for step in drawn.steps] == [Placed(line.sku, line.quantity, 0) for line in assignment.lines]
    assert drawn.dies_at is None


@given(ASSIGNMENTS, st.integers())
def test_each_kind_of_bad_luck_shows(assignment: Assignment, seed: int) -> None:
    quantities = [line.quantity for line in assignment.lines]

    def units(luck: Luck) -> list[tuple[int, int]]:
        return [(step.placed.received, step.placed.damaged) for step in plan_putaway(assignment, "r", 1, luck).steps]

    damaged, missing, surplus = (
        units(Luck(seed, 0, 0, 100)),
        units(Luck(seed, 0, 0, 0, 100)),
        units(Luck(seed, 0, 0, 0, 0, 100)),
    )
    assert all(total == n and bad > 0 for (total, bad), n in zip(damaged, quantities, strict=True))
    assert all(total < n for (total, _), n in zip(missing, quantities, strict=True))
    assert all(total > n for (total, _), n in zip(surplus, quantities, strict=True))


async def test_a_delivery_is_put_away_line_by_line(shop: Shop) -> None:
    task = shop.floor.bring("one", b1=3, b2=1, b3=2)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", "dairy-1"):
        await shop.reported("one")
    assert placed(task) == {"b1": (3, 0), "b2": (1, 0), "b3": (2, 0)}
    assert [(robot, result) for robot, _, _, result in shop.floor.told] == [("bread-1", "ACCEPTED")] * 3
    assert [item.sku for item in task.report.items] == ["b3"]


async def test_what_is_damaged_or_missing_is_reported_so(shop: Shop) -> None:
    task = shop.floor.bring("one", b1=30, b2=30)
    luck = {"ROBOTS_DAMAGE_PERCENT": "100", "ROBOTS_MISSING_PERCENT": "100"}
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", **luck):
        await shop.reported("one")
    drawn = plan_putaway(
        Assignment("one", "bread", "bread", (Line("b1", 30), Line("b2", 30))), "bread-1", 1, Luck(1, 0, 0, 100, 100)
    )
    assert placed(task) == {step.placed.sku: (step.placed.received, step.placed.damaged) for step in drawn.steps}


async def test_a_putaway_report_whose_answer_is_lost_is_repeated_under_its_sequence(shop: Shop) -> None:
    shop.floor.bring("one", b1=1)
    lost = faults.Fault("inventory.report_putaway", faults.Mode.EFFECT_THEN_ERROR, 1)
    async with shop.inventory(), shop.gateway():
        with faults.arm(lost):
            async with shop.fleet("bread-1"):
                await until(lambda: len(shop.floor.told) == 2)
    (_, fence, sequence, first), (_, again_fence, again, second) = shop.floor.told
    assert (first, second) == ("ACCEPTED", "DUPLICATE")
    assert (fence, sequence) == (again_fence, again)


def fated() -> str:
    """A putaway of two lines at whose second either robot dies under its first fence, and under the second neither."""
    luck = Luck(1, 0, 50)
    for number in count():
        task = Assignment(f"fated-{number}", "bread", "bread", (Line("b1", 1), Line("b2", 1)), putaway=True)
        dies = [
            (
                plan_putaway(task, robot, 1, luck).dies_at,
                plan_putaway(task, robot, 2, luck, [Placed("b1", 1, 0)]).dies_at,
            )
            for robot in ("bread-1", "bread-2")
        ]
        if dies == [(1, None)] * 2:
            return task.assignment_id
    raise AssertionError


async def test_another_robot_goes_on_where_the_dead_one_reported_last(shop: Shop) -> None:
    shop.floor.lease_s = 1.0
    name = fated()
    task = shop.floor.bring(name, b1=1, b2=1)
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", "bread-2", ROBOTS_CRASH_PERCENT="50"):
        await until(lambda: len(shop.floor.told) == 3)
    (dead, *_, first), (saviour, _, _, second), (back, *_, third) = shop.floor.told
    assert (first, second, third) == ("ACCEPTED", "ACCEPTED", "STALE_FENCE")
    assert dead == back != saviour
    assert task.report.robot_id == saviour
    assert [item.sku for item in task.report.items] == ["b2"]


async def test_a_robot_that_lost_its_fence_leaves_the_crate_to_the_other(shop: Shop) -> None:
    task = shop.floor.bring("long", b1=10_000)  # 100 s at speed 100
    async with shop.inventory(), shop.gateway(), shop.fleet("bread-1", ROBOTS_SPEED="100"):
        await until(lambda: task.robot_id)
        task.robot_id = "bread-9"
        shop.floor.put("next", b1=1)
        await shop.reported("next")
    assert [(robot, result) for robot, _, _, result in shop.floor.told] == [("bread-1", "ACCEPTED")]
