from __future__ import annotations

from collections import Counter

from autogrocery.lab.demand.demand import load_demand
from autogrocery.lab.prove.load import PLANS, choose_plan, limit_devices
from autogrocery.lab.prove.options import ProveOptions


def test_plans_have_fixed_shares_and_an_order_by_seed() -> None:
    plans = [choose_plan(1, number) for number in range(200)]
    assert Counter(plans) == {plan: 10 * count for plan, count in Counter(PLANS).items()}
    assert set(plans) == {"buy", "confirm again", "cancel the preview", "cancel the order", "abandon"}
    assert plans == [choose_plan(1, number) for number in range(200)]
    assert plans != [choose_plan(2, number) for number in range(200)]


def test_baskets_are_spread_over_a_limited_number_of_devices() -> None:
    demand = load_demand(200, 1, real=False)
    shared = limit_devices(demand, 8)
    assert {basket.household for basket in shared.baskets} == set(range(8))
    assert [basket.lines for basket in shared.baskets] == [basket.lines for basket in demand.baskets]
    assert [basket.at_offset_s for basket in shared.baskets] == [basket.at_offset_s for basket in demand.baskets]
    assert len({basket.household for basket in limit_devices(demand, 1_000).baskets}) == 40


def test_run_ends_with_a_phase_without_faults() -> None:
    assert ProveOptions(10.0, 1, 4.0).fault_phase_s == 585.0
    assert ProveOptions(0.5, 1, 4.0).fault_phase_s == 15.0
    assert ProveOptions(0.1, 1, 4.0).fault_phase_s == 3.0
    assert ProveOptions(0.5, 1, 4.0).orders == 72
    assert [ProveOptions(minutes, 1, 4.0).scale for minutes in (0.1, 3.0, 30.0)] == [0.05, 0.3, 1.0]
