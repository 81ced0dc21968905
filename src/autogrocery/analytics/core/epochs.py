"""Which sequence numbers of an epoch have been seen. Missing ones are kept as ranges: memory grows with losses only."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_RANGES: Final = 10_000
GAP_AFTER_S: Final = 1.0  # messages may arrive out of order; a range missing for so long is a gap


class MissingRange(Struct, frozen=True):
    """The numbers from `first` to `last` have been missing since `since_s` (seconds on the monotonic clock)."""

    first: int
    last: int
    since_s: float

    def __len__(self) -> int:
        return self.last - self.first + 1


class Epoch:
    """One run of one publisher. `last` is the highest known number; of 1..last, all but the missing ranges are seen.

    Numbers below `joined` were published before the subscription: they are read from the log and never count as gaps.
    """

    def __init__(self, epoch: int, joined: int) -> None:
        self.epoch = epoch
        self.joined = joined
        self.last = 0
        self._missing: list[MissingRange] = []  # in order, not adjacent

    @property
    def seen(self) -> int:
        """Return how many numbers have been seen or are known to be void."""
        return self.last - sum(map(len, self._missing))

    def missing_ranges(self, now_s: float, older_than_s: float = 0.0) -> list[MissingRange]:
        """Return the ranges that have been missing for at least `older_than_s` seconds."""
        return [one for one in self._missing if now_s - one.since_s >= older_than_s]

    def has(self, number: int) -> bool:
        """Return whether a number has been seen."""
        return number <= self.last and self._at(number) is None

    def extend_to(self, last: int, now_s: float) -> None:
        """Record that numbers up to `last` exist; those that are new are missing since `now_s`."""
        if last > self.last:
            self._missing.append(MissingRange(self.last + 1, last, now_s))
            self.last = last
            if len(self._missing) > 1 and self._missing[-2].last + 1 == self._missing[-1].first:
                newer, older = self._missing.pop(), self._missing.pop()
                self._missing.append(MissingRange(older.first, newer.last, newer.since_s))

    def mark(self, first: int, last: int, now_s: float) -> None:
        """Mark the numbers from `first` to `last` as seen; those between the highest known number and `first` exist."""
        self.extend_to(last, now_s)
        start = bisect_left(self._missing, first, key=lambda one: one.last)
        end = bisect_right(self._missing, last, key=lambda one: one.first)
        parts = [MissingRange(one.first, min(one.last, first - 1), one.since_s) for one in self._missing[start:end]]
        parts += [MissingRange(max(one.first, last + 1), one.last, one.since_s) for one in self._missing[start:end]]
        self._missing[start:end] = [part for part in parts if part.first <= part.last]

    def add(self, number: int, now_s: float) -> bool:
        """Mark a number as seen; False if it was seen before or needs a range beyond MAX_RANGES (the log has it)."""
        if self.has(number) or (len(self._missing) >= MAX_RANGES and self._splits(number)):
            return False
        if number > self.last:
            if number > self.last + 1:
                self._missing.append(MissingRange(self.last + 1, number - 1, now_s))
            self.last = number
            return True
        index = self._at(number)
        assert index is not None
        found = self._missing[index]
        parts = (
            MissingRange(found.first, number - 1, found.since_s),
            MissingRange(number + 1, found.last, found.since_s),
        )
        self._missing[index : index + 1] = [part for part in parts if len(part) > 0]
        return True

    def _splits(self, number: int) -> bool:
        index = self._at(number)
        if index is None:
            return number > self.last + 1
        return self._missing[index].first < number < self._missing[index].last

    def _at(self, number: int) -> int | None:
        index = bisect_right(self._missing, number, key=lambda one: one.first) - 1
        return index if index >= 0 and number <= self._missing[index].last else None


def count_missing(epochs: Iterable[Epoch], now_s: float) -> int:
    """Count the numbers that have been missing long enough to be gaps."""
    return sum(len(gap) for epoch in epochs for gap in epoch.missing_ranges(now_s, GAP_AFTER_S))
