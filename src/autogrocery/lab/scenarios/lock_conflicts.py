"""Deadlocks and lock timeouts, counted in the network's logs: a retry hides them from callers.

Where `lock_timeout` is shorter than `deadlock_timeout` (0.5 s against PostgreSQL's default of 1 s), statements in a
lock cycle time out before the cycle is detected: the deadlock is logged as a lock timeout. So both are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DEADLOCK: Final = b"deadlock detected"
LOCK_TIMEOUT: Final = b"canceling statement due to lock timeout"


class LockConflicts(Struct, frozen=True):
    """How many statements failed because of a lock."""

    deadlocks: int = 0
    lock_timeouts: int = 0


def log_sizes(logs: Iterable[Path]) -> dict[Path, int]:
    """Return the size of each log in bytes, 0 for one that does not exist."""
    return {log: log.stat().st_size if log.exists() else 0 for log in logs}


def conflicts_since(before: Mapping[Path, int]) -> LockConflicts:
    """Count what was logged beyond the sizes `before`; a log that is shorter now was rotated and is read whole."""
    deadlocks = lock_timeouts = 0
    for log, size in before.items():
        if log.exists():
            with log.open("rb") as file:
                file.seek(size if log.stat().st_size >= size else 0)
                text = file.read()
            deadlocks += text.count(DEADLOCK)
            lock_timeouts += text.count(LOCK_TIMEOUT)
    return LockConflicts(deadlocks, lock_timeouts)
