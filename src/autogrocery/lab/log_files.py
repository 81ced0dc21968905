"""Log files of child processes: rotation at start, and the last lines for the message when a child ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TAIL_BYTES = 16_384


def rotate(path: Path) -> None:
    """Move `path` to `path.1`, replacing the previous `path.1`."""
    if path.exists():
        path.replace(path.with_name(path.name + ".1"))


def append_to(path: Path) -> int:
    """Open `path` for appending by a child, mode 0600; the caller closes the returned descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def tail(path: Path, lines: int = 12) -> str:
    """Return the last `lines` of `path`, each indented, or a note that it is empty."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        text = ""
    last = text.splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in last) or "    (it wrote nothing)"
