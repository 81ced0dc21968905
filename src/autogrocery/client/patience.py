"""How long to wait before asking again: what the gateway asked for, else growing pauses, always with jitter."""

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
# Everybody who was told "in one second" must not come back in the same millisecond.
SPREAD: Final = 0.25


class Patience(Struct, frozen=True):
    """A call's limits: one attempt ends after `attempt_s`, all of them together after `overall_s`."""

    overall_s: float = 60.0
    attempt_s: float = 10.0


class Deadline:
    """Counts down one call's patience and spaces its attempts."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._ends_at = time.monotonic() + patience.overall_s
        self._tries = 0

    @property
    def attempt_s(self) -> float:
        """Seconds the next attempt may take; never zero, so that a late attempt fails as a timeout and not as an error."""
        return max(0.001, min(self._patience.attempt_s, self._ends_at - time.monotonic()))

    def pause_s(self, asked_s: float | None) -> float | None:
        """Seconds to wait before the next attempt, or None if the deadline would have passed by then."""
        if asked_s is None:
            asked_s = random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._tries, 10))  # noqa: S311 - jitter
        self._tries += 1
        pause_s = asked_s * (1 + random.uniform(0.0, SPREAD))  # noqa: S311 - jitter
        return pause_s if time.monotonic() + pause_s < self._ends_at else None


def asked_pause_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110 §10.2.3): seconds or a date; None where it is absent or unreadable."""
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
