"""Temporary homes: the directories in which the servers of tests keep their files."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = Path("/dev/shm")
MIN_FREE_BYTES = 6 << 30  # enough for several test processes, each with a server that keeps 0.5 GB of WAL


@contextmanager
def temporary_home(*, on_disk: bool = False) -> Iterator[Path]:
    """Create an empty directory that other users may enter, as PostgreSQL's account must; remove it afterwards.

    The directory is in memory if there is room: a test's database takes 20 ms to create there, 100 to 300 ms on a disk.
    Tests that kill servers and must find their files as a power cut leaves them, and whole networks, pass
    `on_disk=True`.
    """
    directory = Path(tempfile.mkdtemp(prefix="ag-", dir=MEMORY if not on_disk and _memory_is_usable() else None))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _memory_is_usable() -> bool:
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    # The server's programs are copied into the home if its account cannot reach them elsewhere.
    runs_programs = not found.f_flag & os.ST_NOEXEC
    return runs_programs and os.access(MEMORY, os.W_OK) and found.f_bavail * found.f_frsize >= MIN_FREE_BYTES
