"""Token buckets: so many at once, so many a second after that, for each of a bounded number of callers."""

from __future__ import annotations

import ipaddress
import math
import time
from typing import TYPE_CHECKING

from autogrocery.kit.errors import TooMany

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CALLERS = 10_000
EXACT = 1e-6  # of a token: what rounding may take
LONGEST_IPV4, LONGEST_IPV6 = 15, 45


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

        self._headers: dict[int, tuple[bytes, bytes]] = {}  # by what is left
        self.policy = (b"ratelimit-policy", f'"{name}";q={burst};w={max(1, math.ceil(self._window_s))}'.encode("ascii"))

    def spend(self, caller: str) -> tuple[bytes, bytes]:
        """Take one token of `caller` and return the RateLimit field that says how many are left.

        Raises TooMany with the seconds until there is one again.
        """
        now = self._clock()
        full_at = max(self._full_at.pop(caller, now), now) + self._interval_s
        wait_s = full_at - self._window_s - now
        if wait_s > self._interval_s * EXACT:
            self._full_at[caller] = full_at - self._interval_s
            raise Limited(self.policy, self._header(0, wait_s), wait_s)
        if len(self._full_at) >= self._max_callers:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[caller] = full_at  # at the end: the first in the dictionary was not seen for longest
        left = int(-wait_s / self._interval_s + EXACT)
        return self._headers.get(left) or self._remember(left)

    def _remember(self, left: int) -> tuple[bytes, bytes]:
        self._headers[left] = field = self._header(left, (self._burst - left) * self._interval_s)
        return field

    def _header(self, left: int, full_in_s: float) -> tuple[bytes, bytes]:
        return b"ratelimit", f'"{self.name}";r={left};t={max(1, math.ceil(full_in_s - EXACT))}'.encode("ascii")


class Limited(TooMany):
    """429 with the fields of the IETF httpapi draft (draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(self, policy: tuple[bytes, bytes], left: tuple[bytes, bytes], wait_s: float) -> None:
        super().__init__("rate_limited", "Too many requests. Ask again later.", retry_after_s=wait_s)
        self.headers = (policy, left)


def source_of(address: str) -> str:
    """Return whom an address stands for: of IPv6 the /64, which one household has whole; what is no address is all one."""
    if ":" not in address:
        return address if len(address) <= LONGEST_IPV4 else "?"
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0][:LONGEST_IPV6])
    except ValueError:
        return "?"
    return str(found.ipv4_mapped or ipaddress.IPv6Address(int(found) >> 64 << 64))
