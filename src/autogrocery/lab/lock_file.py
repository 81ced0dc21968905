"""One owner of a directory at a time: an flock that the kernel drops with its holder, however that one dies."""

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
    """Somebody else has the directory; the message names the process."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold `path` as a lock while the block runs, then remove it; raises LockHeldError at once when it is taken."""
    descriptor = _take(path)
    try:
        yield
    finally:
        with suppress(OSError):  # an unlinked directory is no reason to fail the stop
            path.unlink(missing_ok=True)  # under the lock: a newcomer that opened this file sees that it is gone
        os.close(descriptor)


def _take(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
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
        os.close(descriptor)  # its former holder removed it between our open and our lock


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
