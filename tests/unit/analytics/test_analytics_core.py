from __future__ import annotations

import random
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.analytics.core import epochs, tally
from autogrocery.analytics.core.durations import MAX_MS, Durations
from autogrocery.analytics.core.epochs import Epoch, Hole
from autogrocery.analytics.core.tally import Tally
from tests.harness.analytics_gateway import metric

NUMBERS = st.lists(st.integers(1, 60), max_size=80)
STEPS = st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=80)


@given(STEPS)
def test_an_epoch_knows_what_a_set_of_numbers_would(steps: list[tuple[bool, int]]) -> None:
    epoch, seen, last = Epoch(1, 1), set(), 0
    for adds, number in steps:
        last = max(last, number)
        if adds:
            assert epoch.add(number, 0.0) == (number not in seen)
            seen.add(number)
        else:
            epoch.reach(number, 0.0)
    assert (epoch.last, epoch.seen) == (last, len(seen))
    missing = {number for hole in epoch.holes(0.0) for number in range(hole.first, hole.last + 1)}
    assert missing == set(range(1, last + 1)) - seen
    assert all(epoch.has(number) == (number in seen) for number in range(1, 62))


@given(NUMBERS)
def test_holes_lie_apart_and_in_order(numbers: list[int]) -> None:
    epoch = Epoch(1, 1)
    for number in numbers:
        epoch.add(number, 0.0)
    holes = epoch.holes(0.0)
    assert all(before.last + 1 < after.first for before, after in pairwise(holes))


def test_a_hole_is_a_gap_only_after_a_second() -> None:
    epoch = Epoch(1, 1)
    epoch.add(3, 100.0)
    assert epochs.missing([epoch], 100.9) == 0
    assert epochs.missing([epoch], 101.0) == 2
    assert epoch.holes(101.0, 1.0) == [Hole(1, 2, 100.0)]


def test_memory_is_bounded_and_what_found_no_room_stays_missing() -> None:
    epoch = Epoch(1, 1)
    for number in range(2, 2 * epochs.MAX_HOLES + 2, 2):
        assert epoch.add(number, 0.0)
    beyond = 2 * epochs.MAX_HOLES + 10
    assert not epoch.add(beyond, 0.0)
    assert not epoch.has(beyond)
    assert epoch.add(1, 0.0)
    assert epoch.add(beyond, 0.0)


@given(st.lists(st.integers(0, MAX_MS), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_off_by_less_than_two_percent(values: list[int], share: float) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    exact = sorted(values)[ceil(share * len(values)) - 1]
    assert durations.quantile_ms(share) == pytest.approx(exact, rel=0.016, abs=0.5)


def test_no_duration_has_no_quantile_and_one_too_long_is_the_longest() -> None:
    durations = Durations()
    assert durations.quantile_ms(0.5) is None
    durations.add(1e300)
    assert durations.quantile_ms(0.5) == pytest.approx(MAX_MS, rel=0.016)


@given(st.permutations(range(1, 30)), st.integers(0, 30))
def test_each_fact_counts_once_in_whatever_order_it_comes(order: list[int], repeats: int) -> None:
    counted = Tally()
    for number in [*order, *order[:repeats]]:
        counted.take(metric(number), 0.0)
    told = counted.figures(10.0)
    assert (told["unique"], told["duplicates"], told["gaps_open"]) == (29, min(repeats, 29), 0)
    assert told["by_status"] == {"COMPLETED": 29}


def test_a_fact_published_under_two_numbers_counts_once() -> None:
    counted = Tally()
    assert counted.take(metric(1), 0.0)
    assert not counted.take(metric(2, order_id=metric(1).order_id), 0.0)
    assert counted.figures(5.0)["gaps_open"] == 0


def test_an_unnumbered_publisher_is_counted_by_order_and_status() -> None:
    counted = Tally()
    plain = metric(1, epoch=0, version=0)
    for status in ("PREVIEWED", "PROCESSING", "PROCESSING"):
        counted.take(metric(0, epoch=0, version=0, order_id=plain.order_id, status=status), 0.0)
    assert (counted.unique, counted.duplicates, counted.epochs) == (2, 1, {})


@pytest.mark.parametrize(
    "flaw", [{"order_id": "x"}, {"order_id": ""}, {"status": ""}, {"status": "done"}, {"status": "X" * 40}]
)
def test_what_cannot_be_an_orders_change_is_invalid(flaw: dict[str, str]) -> None:
    counted = Tally()
    assert not counted.take(metric(1, **flaw), 0.0)
    assert (counted.invalid, counted.unique) == (1, 0)


def test_an_absurd_number_opens_no_gap() -> None:
    counted = Tally()
    counted.take(metric(1), 0.0)
    counted.take(metric(1 << 60), 0.0)
    assert counted.invalid == 1
    assert counted.figures(9.0)["gaps_open"] == 0


def test_statuses_and_epochs_are_bounded() -> None:
    counted = Tally()
    for number in range(1, tally.MAX_EPOCHS + 100):
        status = "S" + "".join(chr(65 + int(digit)) for digit in str(number % 50))
        counted.take(metric(1, epoch=number, status=status), 0.0)
    assert len(counted.epochs) == tally.MAX_EPOCHS
    assert len(counted.by_status) == tally.MAX_STATUSES + 1
    assert counted.unique == tally.MAX_EPOCHS + 99


def test_durations_of_restocks_are_not_those_of_orders() -> None:
    counted = Tally()
    counted.take(metric(1, status="RECEIVED", duration_seconds=900.0), 0.0)
    counted.take(metric(2, status="PREVIEWED", duration_seconds=0.0), 0.0)
    counted.take(metric(3, duration_seconds=12.0), 0.0)
    assert counted.figures(0.0)["duration_ms"] == {
        "p50": pytest.approx(12_000, rel=0.016),
        "p90": pytest.approx(12_000, rel=0.016),
        "p99": pytest.approx(12_000, rel=0.016),
        "count": 1,
    }


def test_the_last_minute_forgets() -> None:
    counted = Tally()
    for second in range(90):
        counted.take(metric(second + 1), float(second))
    assert (counted.last_minute(89.5), counted.last_minute(119.0), counted.last_minute(500.0)) == (60, 30, 0)


def test_facts_are_remembered_for_at_least_a_generation() -> None:
    facts = tally.Facts()
    assert all(facts.add(number) for number in range(2 * tally.MAX_FACTS))
    recent = random.Random(1).sample(range(tally.MAX_FACTS, 2 * tally.MAX_FACTS), 1_000)
    assert not any(facts.add(number) for number in recent)
