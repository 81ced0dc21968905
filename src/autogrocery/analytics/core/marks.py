"""Which sequence numbers are stored, as ranges: sets that only grow, so that neither order nor repetition matters."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Mark(Struct, frozen=True, order=True):
    """Every number from `first` to `last` of an epoch is stored, set aside or void: it is not asked for again."""

    epoch: int
    first: int
    last: int


class Marks:
    """The stored numbers of every epoch, as disjoint and non-adjacent ranges. Memory grows with the gaps only."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._firsts: dict[int, list[int]] = {}
        self._lasts: dict[int, list[int]] = {}
        for mark in marks:
            self._add(mark)

    def add(self, marks: Iterable[Mark]) -> list[Mark]:
        """Add marks; return the ranges that contain them now."""
        added = list(marks)
        for mark in added:
            self._add(mark)
        return sorted({self._around(mark) for mark in added})

    def __iter__(self) -> Iterator[Mark]:
        """Yield all ranges, by epoch and number."""
        for epoch in sorted(self._firsts):
            for first, last in zip(self._firsts[epoch], self._lasts[epoch], strict=True):
                yield Mark(epoch, first, last)

    def _add(self, mark: Mark) -> None:
        firsts, lasts = self._firsts.setdefault(mark.epoch, []), self._lasts.setdefault(mark.epoch, [])
        start, end = bisect_left(lasts, mark.first - 1), bisect_right(firsts, mark.last + 1)
        touched = start < end
        first = min(mark.first, firsts[start]) if touched else mark.first
        last = max(mark.last, lasts[end - 1]) if touched else mark.last
        firsts[start:end], lasts[start:end] = [first], [last]

    def _around(self, mark: Mark) -> Mark:
        index = bisect_right(self._firsts[mark.epoch], mark.first) - 1
        return Mark(mark.epoch, self._firsts[mark.epoch][index], self._lasts[mark.epoch][index])


def marks_of(numbers: Iterable[tuple[int, int]]) -> list[Mark]:
    """Return the marks of (epoch, sequence) pairs: one for each run of successive numbers."""
    ordered = enumerate(sorted(set(numbers)))
    marks = []
    for _, run in groupby(ordered, key=lambda one: (one[1][0], one[1][1] - one[0])):
        found = [number for _, number in run]
        marks.append(Mark(found[0][0], found[0][1], found[-1][1]))
    return marks
