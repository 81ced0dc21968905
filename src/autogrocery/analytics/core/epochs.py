"""Which numbers of an epoch have been seen. What is missing is kept as ranges, so that memory grows with holes, not messages."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HOLES: Final = 10_000
GAP_AFTER_S: Final = 1.0  # frames may arrive out of order; a hole this old is a gap


class Hole(Struct, frozen=True):
    """The numbers from `first` to `last` are missing since `since_s` on the monotonic clock."""

    first: int
    last: int
    since_s: float

    def __len__(self) -> int:
        return self.last - self.first + 1


class Epoch:
    """One run of one publisher. `last` is the highest number known of; 1..last but the holes have been seen.

    Numbers below `joined` were published before we listened: they come from the log and were never a gap of ours.
    """

    def __init__(self, epoch: int, joined: int) -> None:
        self.epoch = epoch
        self.joined = joined
        self.last = 0
        self._holes: list[Hole] = []  # by number, apart from each other

    @property
    def seen(self) -> int:
        """How many numbers have been seen or are known to be void."""
        return self.last - sum(map(len, self._holes))

    def holes(self, now_s: float, older_than_s: float = 0.0) -> list[Hole]:
        """Return the holes that are at least so old."""
        return [hole for hole in self._holes if now_s - hole.since_s >= older_than_s]

    def has(self, number: int) -> bool:
        """Say whether a number has been seen."""
        return number <= self.last and self._at(number) is None

    def reach(self, last: int, now_s: float) -> None:
        """Learn that numbers up to `last` exist."""
        if last > self.last:
            self._holes.append(Hole(self.last + 1, last, now_s))
            self.last = last
            if len(self._holes) > 1 and self._holes[-2].last + 1 == self._holes[-1].first:
                newer, older = self._holes.pop(), self._holes.pop()
                self._holes.append(Hole(older.first, newer.last, newer.since_s))

    def add(self, number: int, now_s: float) -> bool:
        """See a number; False if it was seen before, or if there is no room for one more hole (the log has it later)."""
        if self.has(number) or (len(self._holes) >= MAX_HOLES and self._splits(number)):
            return False
        if number > self.last:
            if number > self.last + 1:
                self._holes.append(Hole(self.last + 1, number - 1, now_s))
            self.last = number
            return True
        index = self._at(number)
        assert index is not None
        hole = self._holes[index]
        parts = (Hole(hole.first, number - 1, hole.since_s), Hole(number + 1, hole.last, hole.since_s))
        self._holes[index : index + 1] = [part for part in parts if len(part) > 0]
        return True

    def _splits(self, number: int) -> bool:
        index = self._at(number)
        if index is None:
            return number > self.last + 1
        return self._holes[index].first < number < self._holes[index].last

    def _at(self, number: int) -> int | None:
        index = bisect_right(self._holes, number, key=lambda hole: hole.first) - 1
        return index if index >= 0 and number <= self._holes[index].last else None


def missing(epochs: Iterable[Epoch], now_s: float) -> int:
    """Count the numbers that are gaps now."""
    return sum(len(hole) for epoch in epochs for hole in epoch.holes(now_s, GAP_AFTER_S))
