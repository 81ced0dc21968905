"""Read files of keys and certificates, and detect that they were replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from pathlib import Path


def file_version(variable: str, path: Path) -> tuple[int, int, int]:
    """Return inode, size and modification time, which change when the file is written or replaced.

    Raises StartError naming the environment `variable` if the file can't be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(variable, error) from None
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_key_file(variable: str, path: Path) -> bytes:
    """Return the file's content; raises StartError naming the environment `variable` if it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(variable, error) from None


def unreadable(variable: str, error: OSError) -> StartError:
    """Return the one-line error for a file that can't be read."""
    return StartError(f"{variable}: the file can't be read ({error.strerror})")
