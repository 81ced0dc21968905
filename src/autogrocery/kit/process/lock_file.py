"""One process per directory at a time: an flock, which the kernel releases when its holder dies, however it dies.

`filelock` does not replace this file: its message does not say which process holds the lock.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class LockHeldError(StartError):
    """Another process holds the directory; the message names its pid."""


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold `path` as a lock while the block runs, then remove it. Raises LockHeldError at once if it is held."""
    descriptor = _acquire(path)
    try:
        yield
    finally:
        with suppress(OSError):  # the directory may be gone: no reason for the stop to fail
            path.unlink(missing_ok=True)  # while locked: a process that opened this file sees that it was removed
        os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise LockHeldError(
                f"{path.parent} is in use by process {holder or '(starting)'}: stop that one, or set AUTOGROCERY_HOME"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the former holder removed it between the open and the lock: try again


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
