"""Files that an operator names for keys and certificates: read, and looked at again for being replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from pathlib import Path


def stamp_of(variable: str, path: Path) -> tuple[int, int, int]:
    """Return what differs once the file is another one, or was written; raises StartError naming the variable."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(variable, error) from None
    return status.st_ino, status.st_size, status.st_mtime_ns


def content_of(variable: str, path: Path) -> bytes:
    """Return what the file holds; raises StartError naming the variable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(variable, error) from None


def unreadable(variable: str, error: OSError) -> StartError:
    """The one line for a file that can't be read."""
    return StartError(f"{variable}: the file can't be read ({error.strerror})")
