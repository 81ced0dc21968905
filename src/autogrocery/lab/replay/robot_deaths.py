"""Count in the robots' log how many robots died and returned since a run began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

DIED: Final = b'"event":"robot_died"'
RETURNED: Final = b'"event":"robot_returned"'


class RobotDeaths(Struct, frozen=True):
    """How many robots died at work, and how many returned."""

    died: int
    returned: int


def log_size(log: Path | None) -> int:
    """Return the size of a log in bytes; 0 without one."""
    return log.stat().st_size if log is not None and log.is_file() else 0


def deaths_since(log: Path | None, start: int) -> RobotDeaths | None:
    """Count beyond the offset `start`; None if there is no log."""
    if log is None or not log.is_file():
        return None
    with log.open("rb") as file:
        file.seek(start if start <= log.stat().st_size else 0)
        text = file.read()
    return RobotDeaths(text.count(DIED), text.count(RETURNED))
