from __future__ import annotations

import random
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.analytics.core import counters, epochs
from autogrocery.analytics.core.counters import Counters, Verdict
from autogrocery.analytics.core.durations import MAX_MS, Durations
from autogrocery.analytics.core.epochs import Epoch, MissingRange
from tests.harness.fact_stores import fact

NUMBERS = st.lists(st.integers(1, 60), max_size=80)
STEPS = st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=80)


@given(STEPS)
def test_epoch_has_same_numbers_as_a_set(steps: list[tuple[bool, int]]) -> None:
    epoch, seen, last = Epoch(1, 1), set(), 0
    for adds, number in steps:
        last = max(last, number)
        if adds:
            assert epoch.add(number, 0.0) == (number not in seen)
            seen.add(number)
        else:
            epoch.extend_to(number, 0.0)
    assert (epoch.last, epoch.seen) == (last, len(seen))
    missing = {number for gap in epoch.missing_ranges(0.0) for number in range(gap.first, gap.last + 1)}
    assert missing == set(range(1, last + 1)) - seen
    assert all(epoch.has(number) == (number in seen) for number in range(1, 62))


@given(NUMBERS)
def test_missing_ranges_are_ordered_and_not_adjacent(numbers: list[int]) -> None:
    epoch = Epoch(1, 1)
    for number in numbers:
        epoch.add(number, 0.0)
    ranges = epoch.missing_ranges(0.0)
    assert all(before.last + 1 < after.first for before, after in pairwise(ranges))


def test_missing_range_is_a_gap_after_one_second() -> None:
    epoch = Epoch(1, 1)
    epoch.add(3, 100.0)
    assert epochs.count_missing([epoch], 100.9) == 0
    assert epochs.count_missing([epoch], 101.0) == 2
    assert epoch.missing_ranges(101.0, 1.0) == [MissingRange(1, 2, 100.0)]


def test_number_beyond_max_ranges_stays_missing() -> None:
    epoch = Epoch(1, 1)
    for number in range(2, 2 * epochs.MAX_RANGES + 2, 2):
        assert epoch.add(number, 0.0)
    beyond = 2 * epochs.MAX_RANGES + 10
    assert not epoch.add(beyond, 0.0)
    assert not epoch.has(beyond)
    assert epoch.add(1, 0.0)
    assert epoch.add(beyond, 0.0)


@given(st.lists(st.integers(0, MAX_MS), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_quantile_error_is_below_two_percent(values: list[int], share: float) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    exact = sorted(values)[ceil(share * len(values)) - 1]
    assert durations.quantile_ms(share) == pytest.approx(exact, rel=0.016, abs=0.5)


def test_quantile_is_none_without_durations_and_capped_at_max() -> None:
    durations = Durations()
    assert durations.quantile_ms(0.5) is None
    durations.add(1e300)
    assert durations.quantile_ms(0.5) == pytest.approx(MAX_MS, rel=0.016)


@given(st.permutations(range(1, 30)), st.integers(0, 30))
def test_each_metric_counts_once_in_any_order(order: list[int], repeats: int) -> None:
    counted = Counters()
    for number in [*order, *order[:repeats]]:
        counted.count(fact(number), 0.0)
    figures = counted.snapshot(10.0)
    assert (figures["unique"], figures["duplicates"], figures["gaps_open"]) == (29, min(repeats, 29), 0)
    assert figures["by_status"] == {"COMPLETED": 29}


def test_change_published_under_two_numbers_counts_once() -> None:
    counted = Counters()
    assert counted.count(fact(1), 0.0) is Verdict.NEW
    assert Verdict.REPEATED is counted.count(fact(2, order_id=str(fact(1).order_id)), 0.0)
    assert counted.snapshot(5.0)["gaps_open"] == 0


def test_unnumbered_metrics_are_deduplicated_by_order_and_status() -> None:
    counted = Counters()
    order_id = str(fact(1).order_id)
    for status in ("PREVIEWED", "PROCESSING", "PROCESSING"):
        counted.count(fact(0, epoch=0, version=0, order_id=order_id, status=status), 0.0)
    assert (counted.unique, counted.duplicates, counted.epochs) == (2, 1, {})


def test_number_too_far_ahead_is_invalid_and_opens_no_gap() -> None:
    counted = Counters()
    counted.count(fact(1), 0.0)
    counted.count(fact(1 << 60), 0.0)
    assert counted.invalid == 1
    assert counted.snapshot(9.0)["gaps_open"] == 0


def test_number_of_statuses_and_epochs_is_bounded() -> None:
    counted = Counters()
    for number in range(1, counters.MAX_EPOCHS + 100):
        status = "S" + "".join(chr(65 + int(digit)) for digit in str(number % 50))
        counted.count(fact(1, epoch=number, status=status), 0.0)
    assert len(counted.epochs) == counters.MAX_EPOCHS
    assert len(counted.by_status) == counters.MAX_STATUSES + 1
    assert counted.unique == counters.MAX_EPOCHS + 99


def test_restock_durations_are_not_counted_as_orders() -> None:
    counted = Counters()
    counted.count(fact(1, status="RECEIVED", duration_seconds=900.0), 0.0)
    counted.count(fact(2, status="PREVIEWED", duration_seconds=0.0), 0.0)
    counted.count(fact(3, duration_seconds=12.0), 0.0)
    assert counted.snapshot(0.0)["duration_ms"] == {
        "p50": pytest.approx(12_000, rel=0.016),
        "p90": pytest.approx(12_000, rel=0.016),
        "p99": pytest.approx(12_000, rel=0.016),
        "count": 1,
    }


def test_last_minute_excludes_older_counts() -> None:
    counted = Counters()
    for second in range(90):
        counted.count(fact(second + 1), float(second))
    assert (counted.last_minute(89.5), counted.last_minute(119.0), counted.last_minute(500.0)) == (60, 30, 0)


def test_recent_changes_keep_at_least_one_generation() -> None:
    recent = counters.RecentChanges()
    assert all(recent.add(number) for number in range(2 * counters.MAX_RECENT))
    sample = random.Random(1).sample(range(counters.MAX_RECENT, 2 * counters.MAX_RECENT), 1_000)
    assert not any(recent.add(number) for number in sample)
