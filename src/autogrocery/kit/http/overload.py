"""Overload: which requests begin, wait or are refused, by the time that they would wait.

Requests that start work which others continue (`Route.sheddable`) take one of a number of places; without a free one
they wait, first come, first served. A new one is refused if it would wait longer than a share of its deadline. Time is
measured, not length, because the same queue is short for a quick machine and long for a slow one: that is the idea of
CoDel (RFC 8289 §3). CoDel itself drops what has waited too long; here the refusal comes at once, because a client that
is refused late has lost that time. The expected wait is that of Little's law, requests that wait over requests that
begin each second. Requests that continue work never wait here, so what was begun is ended first.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from prometheus_client import Counter

from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES = 64  # enough to keep a core busy; more make an iteration of the event loop, and so each refusal, longer
QUEUE_SHARE = 1 / 3  # of the deadline of a request, which it may wait
MAX_WAITING = 4_096  # a bound of memory; the bound that is met is that of time
WINDOW_S = 0.25  # over which beginnings are counted

SHED = Counter("http_requests_shed", "Requests refused under overload, by the bound that they met", ["bound"])


class Bound(Enum):
    """The bounds of overload: the label in the counter, and the detail of the refusal."""

    CONNECTIONS = "connections", "Too many connections are open."
    IN_FLIGHT = "in_flight", "Too many requests are in flight."
    QUEUE = "queue", "The queue is longer than this request may wait."
    STREAMS = "streams", "Too many streams are open."


def shed(bound: Bound, *, retry_after_s: float = 1.0) -> Unavailable:
    """Count a refusal and return it."""
    label, detail = bound.value
    SHED.labels(label).inc()
    return Unavailable("overloaded", detail, retry_after_s=retry_after_s)


class AdmissionQueue:
    """A number of places and a queue before them, first come, first served.

    The rate at which requests begin is measured only while some wait: then each free place is taken at once, and the
    rate is what the machine can do. A new queue has no rate until the first window is over; a window counts for at
    least half of the one before, because a short stall is no slow machine.
    """

    def __init__(self, places: int, max_wait_s: float, clock: Callable[[], float]) -> None:
        """`max_wait_s` is how long a request may wait for its place; `clock` returns seconds."""
        self._free = places
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._waiting: deque[int] = deque()
        self._rate_per_s = 0.0  # not known
        self._window_at = self._begun_at = 0.0
        self._begun = 0  # in this window

    def __len__(self) -> int:
        """Return how many requests wait."""
        return len(self._waiting)

    def is_full(self) -> bool:
        """Return whether a new request would wait too long, or none has begun for so long."""
        waiting = len(self._waiting)
        if not waiting:
            return False
        if waiting >= MAX_WAITING or self._clock() - self._begun_at > self._max_wait_s:
            return True
        return self._rate_per_s > 0 and waiting > self._max_wait_s * self._rate_per_s

    def enter(self, number: int) -> bool:
        """Return True if the request of this number has a place; otherwise it waits until `leave` returns it."""
        if self._free and not self._waiting:
            self._free -= 1
            return True
        if not self._waiting:
            self._window_at = self._begun_at = self._clock()
            self._rate_per_s, self._begun = 0.0, 0
        self._waiting.append(number)
        return False

    def leave(self) -> int | None:
        """Give a place back; returns the number of the request that takes it, if one waits."""
        if not self._waiting:
            self._free += 1
            return None
        self._begun += 1
        self._begun_at = now = self._clock()
        if now - self._window_at >= WINDOW_S:
            self._rate_per_s = max(self._begun / (now - self._window_at), self._rate_per_s / 2)
            self._window_at, self._begun = now, 0
        return self._waiting.popleft()
