"""Deadlocks in the network's own logs: callers never hear of those that a retry has healed.

Where `lock_timeout` is shorter than `deadlock_timeout`, as it is here (0.5 s against PostgreSQL's 1 s), those who wait in a
circle give up before the circle is seen: a deadlock is then logged as a lock timeout, so both are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DEADLOCK: Final = b"deadlock detected"
LOCK_TIMEOUT: Final = b"canceling statement due to lock timeout"


class Jams(Struct, frozen=True):
    """How often statements waited for each other in vain."""

    deadlocks: int = 0
    lock_timeouts: int = 0


def lengths(logs: Iterable[Path]) -> dict[Path, int]:
    """Return how long each log is now."""
    return {log: log.stat().st_size if log.exists() else 0 for log in logs}


def jams_since(before: Mapping[Path, int]) -> Jams:
    """Count what was logged since; a log that has become shorter was begun anew and is read whole."""
    deadlocks = lock_timeouts = 0
    for log, length in before.items():
        if log.exists():
            with log.open("rb") as file:
                file.seek(length if log.stat().st_size >= length else 0)
                text = file.read()
            deadlocks += text.count(DEADLOCK)
            lock_timeouts += text.count(LOCK_TIMEOUT)
    return Jams(deadlocks, lock_timeouts)
