"""Many deadlines with one timer, for calls most of which end long before their deadline."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container


class Deadlines:
    """Calls `late(number)` at the deadline of each number that is still in `live` then, never before it.

    A number that has left `live` costs nothing but its place in the heap until its deadline.
    """

    def __init__(self, live: Container[int], late: Callable[[int], None]) -> None:
        self._live = live
        self._late = late
        self._heap: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, number: int, until: float) -> None:
        """Add a number whose deadline is `until`, on the clock of the running event loop."""
        heappush(self._heap, (until, number))
        if self._timer is None or until < self._timer.when():
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._heap[0][0], self._expire) if self._heap else None

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        while self._heap and (self._heap[0][0] <= now or self._heap[0][1] not in self._live):
            _, number = heappop(self._heap)
            if number in self._live:
                self._late(number)
        if self._timer is None:
            self._set_timer()
