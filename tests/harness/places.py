"""Where the servers of tests keep their files."""

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
ROOM_BYTES = 6 << 30  # for as many test processes as there may be, each with a server that keeps 0.5 GB of its log


@contextmanager
def open_place(*, on_disk: bool = False) -> Iterator[Path]:
    """Make an empty directory through which other users may pass, as PostgreSQL's must; it is removed afterwards.

    In memory where there is room: a database for a test is made in 20 ms there, in 100 to 300 ms on a disk. What a power cut
    would leave is not asked of these servers; those that are, and whole networks that are broken on purpose, live `on_disk`.
    """
    directory = Path(tempfile.mkdtemp(prefix="ag-", dir=MEMORY if not on_disk and _roomy() else None))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _roomy() -> bool:
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    # The server's programs are copied there if its user can't reach them elsewhere.
    runs_programs = not found.f_flag & os.ST_NOEXEC
    return runs_programs and os.access(MEMORY, os.W_OK) and found.f_bavail * found.f_frsize >= ROOM_BYTES
