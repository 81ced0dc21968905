"""The pause before the next attempt of a call: Retry-After if the gateway sent it, else exponential; with jitter."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
# Jitter on top of every pause: clients that got the same Retry-After must not come back in the same millisecond.
SPREAD: Final = 0.25


class RetryLimits(Struct, frozen=True):
    """A call's limits in seconds: all attempts together end after `deadline_s`, each one after `timeout_s`."""

    deadline_s: float = 60.0
    timeout_s: float = 10.0


class Backoff:
    """Measures one call's deadline and spaces its attempts."""

    def __init__(self, retry_limits: RetryLimits) -> None:
        self._retry_limits = retry_limits
        self._ends_at = time.monotonic() + retry_limits.deadline_s
        self._attempts = 0

    @property
    def timeout_s(self) -> float:
        """Seconds the next attempt may take; never zero, so that a late attempt fails as a timeout, not as an error."""
        return max(0.001, min(self._retry_limits.timeout_s, self._ends_at - time.monotonic()))

    def pause_s(self, retry_after_s: float | None) -> float | None:
        """Return the seconds to wait before the next attempt, or None if the deadline passes before it."""
        base_s = retry_after_s
        if base_s is None:
            longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._attempts, 10))
            base_s = random.uniform(0.5, 1.0) * longest_s  # noqa: S311 - jitter
        self._attempts += 1
        pause_s = base_s * (1 + random.uniform(0.0, SPREAD))  # noqa: S311 - jitter
        return pause_s if time.monotonic() + pause_s < self._ends_at else None


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return Retry-After in seconds (RFC 9110 §10.2.3: a number or a date); None if it is absent or unreadable."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
