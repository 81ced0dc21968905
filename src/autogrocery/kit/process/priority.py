"""The CPU priority of a process: lower than that of the process that answers requests."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def lower_priority(nice: int) -> None:
    """Run at `nice` (19 is the lowest), so that requests get the CPU first.

    Also as a session, where the kernel schedules by sessions (autogroup): the process must lead one.
    """
    os.nice(nice)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")
