from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autogrocery.robots.core import plan

LINES = st.lists(st.builds(plan.Line, st.text("abc", min_size=1), st.integers(1, 50)), min_size=1, max_size=10).map(
    tuple
)
ASSIGNMENTS = st.builds(plan.Assignment, st.uuids().map(str), st.just("bread"), st.just("1"), LINES)
RATES = st.builds(plan.FaultRates, st.integers(), st.floats(0, 100), st.floats(0, 100))


@given(ASSIGNMENTS, RATES)
def test_same_seed_gives_same_plan(assignment: plan.Assignment, rates: plan.FaultRates) -> None:
    assert plan.plan_pick(assignment, "r", 1, rates) == plan.plan_pick(assignment, "r", 1, rates)


@given(ASSIGNMENTS, RATES)
def test_short_lines_are_the_same_for_every_robot(assignment: plan.Assignment, rates: plan.FaultRates) -> None:
    assert plan.plan_pick(assignment, "r", 1, rates).picked == plan.plan_pick(assignment, "s", 2, rates).picked


@given(ASSIGNMENTS, RATES)
def test_every_line_is_picked_up_to_its_quantity(assignment: plan.Assignment, rates: plan.FaultRates) -> None:
    picked = plan.plan_pick(assignment, "r", 1, rates).picked
    assert [line.sku for line in picked] == [line.sku for line in assignment.lines]
    assert all(0 <= line.quantity <= assigned.quantity for line, assigned in zip(picked, assignment.lines, strict=True))


@given(ASSIGNMENTS, st.integers())
def test_zero_fault_rates_pick_everything(assignment: plan.Assignment, seed: int) -> None:
    drawn = plan.plan_pick(assignment, "r", 1, plan.FaultRates(seed, 0, 0))
    units = sum(line.quantity for line in assignment.lines)
    assert drawn == plan.PickPlan(assignment.lines, 20.0 + 8.0 * units, None)
    assert plan.outcome(assignment.lines, drawn.picked) is plan.Outcome.PICKED


@given(ASSIGNMENTS, st.integers())
def test_crash_is_drawn_within_the_duration_of_the_pick(assignment: plan.Assignment, seed: int) -> None:
    drawn = plan.plan_pick(assignment, "r", 1, plan.FaultRates(seed, 0, 100))
    assert drawn.crash_after_s is not None
    assert 0 <= drawn.crash_after_s <= drawn.duration_s


def test_outcome_is_failed_without_any_unit_and_short_with_one() -> None:
    assigned = (plan.Line("a", 2), plan.Line("b", 1))
    statuses = [plan.outcome(assigned, (plan.Line("a", n), plan.Line("b", 0))) for n in (0, 1)]
    assert statuses == [plan.Outcome.FAILED, plan.Outcome.SHORT]
