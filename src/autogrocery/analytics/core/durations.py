"""Durations in logarithmic buckets: memory is fixed, and a quantile's error is below 1.6 % of its value."""

from __future__ import annotations

from math import ceil
from typing import Final

SUB_BITS: Final = 5  # 32 buckets to each doubling: their width is at most 1/32 of their lower bound
SUBS: Final = 1 << SUB_BITS
MAX_MS: Final = (1 << 32) - 1  # 49 days; a longer duration counts as this
BUCKETS: Final = (32 - SUB_BITS + 1) * SUBS


class Durations:
    """Counts by bucket, as in an HDR histogram. Below 32 ms each millisecond has a bucket of its own."""

    def __init__(self) -> None:
        self.count = 0
        self._buckets = [0] * BUCKETS

    def add(self, duration_ms: float) -> None:
        """Count one duration, in milliseconds."""
        self._buckets[_bucket(min(max(round(duration_ms), 0), MAX_MS))] += 1
        self.count += 1

    def quantile_ms(self, share: float) -> float | None:
        """Return the duration in ms that `share` of all do not exceed (the middle of its bucket); None without any."""
        rank = max(ceil(share * self.count), 1)
        for index, count in enumerate(self._buckets):
            rank -= count
            if rank <= 0:
                low, high = _bounds(index)
                return (low + high) / 2
        return None


def _bucket(value: int) -> int:
    doublings = max(value.bit_length() - SUB_BITS - 1, 0)
    return doublings * SUBS + (value >> doublings)


def _bounds(index: int) -> tuple[int, int]:
    """Return the lowest and the highest value of a bucket."""
    doublings = max(index // SUBS - 1, 0)
    low = (index - doublings * SUBS) << doublings
    return low, low + (1 << doublings) - 1
