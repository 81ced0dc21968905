"""Token buckets: so many at once, so many a second after that, for each of a bounded number of callers."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from autogrocery.kit.refusals import TooMany

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CALLERS = 10_000


class Limit:
    """A rate for each caller: `burst` at once, `rate_per_s` on average. The longest unseen callers are forgotten.

    Each bucket is one number, the instant at which it will be full again (generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(
        self,
        name: str,
        *,
        rate_per_s: float,
        burst: int,
        per_device: bool = False,
        max_callers: int = MAX_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limit by the caller's address, or by its device if `per_device`."""
        self.name = name
        self.per_device = per_device
        self._interval_s = 1.0 / rate_per_s
        self._window_s = burst / rate_per_s
        self._burst = burst
        self._max_callers = max_callers
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def spend(self, caller: str) -> None:
        """Take one token of `caller`; raises TooMany with the seconds until there is one again."""
        now = self._clock()
        full_at = max(self._full_at.pop(caller, now), now) + self._interval_s
        wait_s = full_at - self._window_s - now
        if wait_s > self._interval_s * 1e-6:
            self._full_at[caller] = full_at - self._interval_s
            raise Limited(self.name, self._burst, self._window_s, wait_s)
        if len(self._full_at) >= self._max_callers:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[caller] = full_at  # at the end: the first in the dictionary was not seen for longest


class Limited(TooMany):
    """429 with the RateLimit headers of the IETF httpapi draft."""

    def __init__(self, name: str, burst: int, window_s: float, wait_s: float) -> None:
        super().__init__("rate_limited", "Too many requests. Ask again later.", retry_after_s=wait_s)
        self.headers = (
            (b"ratelimit-policy", f'"{name}";q={burst};w={max(1, math.ceil(window_s))}'.encode("ascii")),
            (b"ratelimit", f'"{name}";r=0;t={max(1, math.ceil(wait_s))}'.encode("ascii")),
        )
