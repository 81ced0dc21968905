"""How often robots died, and how often they came back: counted in their own log, from where a run began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

DIED: Final = b'"event":"robot_died"'
RETURNED: Final = b'"event":"robot_returned"'


class Deaths(Struct, frozen=True):
    """Robots that died at work, and those of them that were back by the end."""

    died: int
    returned: int


def length(log: Path | None) -> int:
    """Return how far a log reaches now."""
    return log.stat().st_size if log is not None and log.is_file() else 0


def deaths_since(log: Path | None, start: int) -> Deaths | None:
    """Count behind `start`; None if there is no log to look into."""
    if log is None or not log.is_file():
        return None
    with log.open("rb") as file:
        file.seek(start if start <= log.stat().st_size else 0)
        text = file.read()
    return Deaths(text.count(DIED), text.count(RETURNED))
