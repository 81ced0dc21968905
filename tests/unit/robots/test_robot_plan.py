from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autogrocery.robots.core import plan

LINES = st.lists(st.builds(plan.Line, st.text("abc", min_size=1), st.integers(1, 50)), min_size=1, max_size=10).map(
    tuple
)
ASSIGNMENTS = st.builds(plan.Assignment, st.uuids().map(str), st.just("bread"), st.just("1"), LINES)
LUCK = st.builds(plan.Luck, st.integers(), st.floats(0, 100), st.floats(0, 100))


@given(ASSIGNMENTS, LUCK)
def test_the_same_seed_draws_the_same_plan(assignment: plan.Assignment, luck: plan.Luck) -> None:
    assert plan.plan(assignment, "r", 1, luck) == plan.plan(assignment, "r", 1, luck)


@given(ASSIGNMENTS, LUCK)
def test_what_the_shelf_lacks_it_lacks_for_every_robot(assignment: plan.Assignment, luck: plan.Luck) -> None:
    assert plan.plan(assignment, "r", 1, luck).picked == plan.plan(assignment, "s", 2, luck).picked


@given(ASSIGNMENTS, LUCK)
def test_no_more_is_picked_than_asked_and_no_line_is_forgotten(assignment: plan.Assignment, luck: plan.Luck) -> None:
    picked = plan.plan(assignment, "r", 1, luck).picked
    assert [line.sku for line in picked] == [line.sku for line in assignment.lines]
    assert all(0 <= line.quantity <= asked.quantity for line, asked in zip(picked, assignment.lines, strict=True))


@given(ASSIGNMENTS, st.integers())
def test_without_bad_luck_all_is_picked_in_time(assignment: plan.Assignment, seed: int) -> None:
    drawn = plan.plan(assignment, "r", 1, plan.Luck(seed, 0, 0))
    units = sum(line.quantity for line in assignment.lines)
    assert drawn == plan.Plan(assignment.lines, 20.0 + 8.0 * units, None)
    assert plan.outcome(assignment.lines, drawn.picked) is plan.Outcome.PICKED


@given(ASSIGNMENTS, st.integers())
def test_a_robot_that_must_die_dies_during_the_pick(assignment: plan.Assignment, seed: int) -> None:
    drawn = plan.plan(assignment, "r", 1, plan.Luck(seed, 0, 100))
    assert drawn.crash_after_s is not None
    assert 0 <= drawn.crash_after_s <= drawn.duration_s


def test_a_pick_without_a_single_unit_has_failed() -> None:
    asked = (plan.Line("a", 2), plan.Line("b", 1))
    told = [plan.outcome(asked, (plan.Line("a", n), plan.Line("b", 0))) for n in (0, 1)]
    assert told == [plan.Outcome.FAILED, plan.Outcome.SHORT]
