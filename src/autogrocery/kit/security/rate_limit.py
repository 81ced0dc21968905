"""Rate limits: a token bucket for each of a bounded number of callers."""

from __future__ import annotations

import ipaddress
import math
import time
from typing import TYPE_CHECKING

from autogrocery.kit.errors import TooMany

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CALLERS = 10_000
ROUNDING = 1e-6  # of a token: tolerance for floating-point error
LONGEST_IPV4, LONGEST_IPV6 = 15, 45
UNKNOWN_SOURCE = "?"


class RateLimit:
    """A limit for each caller: up to `burst` requests at once, `rate_per_s` on average.

    Each bucket is one number, the time at which it is full again (generic cell rate algorithm, ITU-T I.371). At most
    `max_callers` buckets are kept; the least recently used is evicted.
    """

    def __init__(
        self,
        name: str,
        *,
        rate_per_s: float,
        burst: int,
        per_principal: bool = False,
        max_callers: int = MAX_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limit by the caller's address, or by the principal of its token if `per_principal`."""
        self.name = name
        self.per_principal = per_principal
        self._interval_s = 1.0 / rate_per_s
        self._window_s = burst / rate_per_s
        self._burst = burst
        self._max_callers = max_callers
        self._clock = clock
        self._full_at: dict[str, float] = {}

        self._headers: dict[int, tuple[bytes, bytes]] = {}  # the RateLimit header by the number of tokens left
        self.policy = (b"ratelimit-policy", f'"{name}";q={burst};w={max(1, math.ceil(self._window_s))}'.encode("ascii"))

    def spend(self, caller: str) -> tuple[bytes, bytes]:
        """Take one token of `caller` and return the RateLimit header (name, value) with the number of tokens left.

        Raises RateLimited with the seconds until the next token.
        """
        now = self._clock()
        full_at = max(self._full_at.pop(caller, now), now) + self._interval_s
        wait_s = full_at - self._window_s - now
        if wait_s > self._interval_s * ROUNDING:
            self._full_at[caller] = full_at - self._interval_s
            raise RateLimited(self.policy, self._header(0, wait_s), wait_s)
        if len(self._full_at) >= self._max_callers:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[caller] = full_at  # inserted at the end: a dict's first key is the least recently used
        left = int(-wait_s / self._interval_s + ROUNDING)
        return self._headers.get(left) or self._cached_header(left)

    def _cached_header(self, left: int) -> tuple[bytes, bytes]:
        self._headers[left] = field = self._header(left, (self._burst - left) * self._interval_s)
        return field

    def _header(self, left: int, full_in_s: float) -> tuple[bytes, bytes]:
        return b"ratelimit", f'"{self.name}";r={left};t={max(1, math.ceil(full_in_s - ROUNDING))}'.encode("ascii")


class RateLimited(TooMany):
    """429 with the headers of the IETF httpapi draft (draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(self, policy: tuple[bytes, bytes], left: tuple[bytes, bytes], wait_s: float) -> None:
        super().__init__("rate_limited", "Too many requests. Ask again later.", retry_after_s=wait_s)
        self.headers = (policy, left)


def rate_limit_key(address: str) -> str:
    """Return the rate-limit key: an IPv4 address as it is, IPv6 by its /64, one shared bucket for anything else.

    A household has a whole /64, so a longer prefix would give it any number of buckets. An IPv4-mapped address is its
    IPv4 address.
    """
    if ":" not in address:
        return address if len(address) <= LONGEST_IPV4 else UNKNOWN_SOURCE
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0][:LONGEST_IPV6])
    except ValueError:
        return UNKNOWN_SOURCE
    return str(found.ipv4_mapped or ipaddress.IPv6Address(int(found) >> 64 << 64))
