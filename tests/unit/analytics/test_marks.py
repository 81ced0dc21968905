from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autogrocery.analytics.core.epochs import Epoch
from autogrocery.analytics.core.marks import Mark, Marks, marks_of

NUMBERS = st.lists(st.integers(1, 60), max_size=60)
SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=30)


def numbers_in(marks: list[Mark]) -> set[int]:
    return {number for mark in marks for number in range(mark.first, mark.last + 1)}


@given(SPANS)
def test_marks_are_the_union_of_what_was_added_in_any_order(spans: list[tuple[int, int]]) -> None:
    marks, expected = Marks(), set()
    for first, more in spans:
        around = marks.add([Mark(1, first, first + more)])
        expected |= set(range(first, first + more + 1))
        assert len(around) == 1
        assert around[0] in list(marks)
        assert around[0].first <= first <= first + more <= around[0].last
    found = list(marks)
    assert numbers_in(found) == expected
    assert all(before.last + 1 < after.first for before, after in pairwise(found))
    assert list(Marks(reversed(found))) == found


@given(NUMBERS, NUMBERS)
def test_marks_of_numbers_are_their_runs_by_epoch(first: list[int], second: list[int]) -> None:
    marks = marks_of([(1, number) for number in first] + [(2, number) for number in second])
    assert numbers_in([mark for mark in marks if mark.epoch == 1]) == set(first)
    assert numbers_in([mark for mark in marks if mark.epoch == 2]) == set(second)
    assert marks == list(Marks(marks))


@given(SPANS, NUMBERS)
def test_epoch_restored_from_marks_has_their_numbers(spans: list[tuple[int, int]], seen: list[int]) -> None:
    epoch, expected = Epoch(1, 1), set(seen)
    for number in seen:
        epoch.add(number, 0.0)
    for first, more in spans:
        epoch.mark(first, first + more, 0.0)
        expected |= set(range(first, first + more + 1))
    assert all(epoch.has(number) == (number in expected) for number in range(1, 75))
    ranges = epoch.missing_ranges(0.0)
    assert all(before.last < after.first for before, after in pairwise(ranges))
    assert epoch.seen == len(expected)
