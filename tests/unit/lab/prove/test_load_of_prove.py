from __future__ import annotations

from collections import Counter

from autogrocery.lab.demand.demand import load_demand
from autogrocery.lab.prove.load import PLANS, restless, shared_out
from autogrocery.lab.prove.wish import Wish


def test_customers_do_everything_and_the_seed_decides_who() -> None:
    plans = [restless(1, number) for number in range(200)]
    assert Counter(plans) == {plan: 10 * count for plan, count in Counter(PLANS).items()}
    assert set(plans) == {"buy", "confirm again", "cancel the preview", "cancel the order", "walk away"}
    assert plans == [restless(1, number) for number in range(200)]
    assert plans != [restless(2, number) for number in range(200)]


def test_many_baskets_are_shared_out_among_few_devices() -> None:
    demand = load_demand(200, 1, real=False)
    shared = shared_out(demand, 8)
    assert {basket.household for basket in shared.baskets} == set(range(8))
    assert [basket.lines for basket in shared.baskets] == [basket.lines for basket in demand.baskets]
    assert [basket.at_offset_s for basket in shared.baskets] == [basket.at_offset_s for basket in demand.baskets]
    assert len({basket.household for basket in shared_out(demand, 1_000).baskets}) == 40


def test_the_last_part_of_the_time_is_for_healing() -> None:
    assert Wish(10.0, 1, 4.0).disasters_s == 585.0
    assert Wish(0.5, 1, 4.0).disasters_s == 15.0
    assert Wish(0.1, 1, 4.0).disasters_s == 3.0
    assert Wish(0.5, 1, 4.0).orders == 72
    assert [Wish(minutes, 1, 4.0).scale for minutes in (0.1, 3.0, 30.0)] == [0.05, 0.3, 1.0]
