"""Private directories, and directories for unix sockets whose paths fit the kernel's limit wherever the home is."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from autogrocery.kit.process.run import StartError

PATH_LIMIT_BYTES = 103  # sun_path: 108 on Linux, 104 elsewhere, including the terminating NUL
UNFIT = frozenset(',"\\\n')
SHORT_ROOT = Path("/tmp")  # noqa: S108 - not gettempdir: TMPDIR may be long, and ownership is checked below


def make_private(directory: Path) -> None:
    """Make `directory`, and its parents, if they do not exist, whatever the umask.

    Their mode is 0700, or 0711 for root, so that PostgreSQL's account may pass. An existing directory keeps its mode:
    it may be a user's home directory.
    """
    if not directory.exists():
        make_private(directory.parent)
        directory.mkdir(exist_ok=True)
        directory.chmod(0o711 if os.geteuid() == 0 else 0o700)


def require_writable(directory: Path) -> None:
    """Raise OSError if this account can't make files in `directory`, as on a file system that is read-only."""
    with tempfile.TemporaryFile(dir=directory):
        return


def socket_directory(preferred: Path, longest_name: str, owner: tuple[int, int] | None = None) -> Path:
    """Make and return `preferred`, or a short substitute if it won't do; mode 0700.

    It won't do if `preferred/longest_name` is too long for a socket, or if it has a comma, with which PostgreSQL and
    its clients separate directories, or a quote.

    `owner` is (uid, gid), this process's by default. The substitute's name is derived from `preferred`, so it is found
    again after a kill. Raises StartError if its place is taken by something of another user.
    """
    place = preferred
    if len(os.fsencode(preferred / longest_name)) > PATH_LIMIT_BYTES or UNFIT.intersection(str(preferred)):
        digest = hashlib.sha256(os.fsencode(preferred.absolute())).hexdigest()[:16]
        place = SHORT_ROOT / f"sockets-{digest}"
    uid, gid = owner or (os.geteuid(), os.getegid())
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {uid, os.geteuid()}:
        raise StartError(f"{place} belongs to another user: remove it, or set AUTOGROCERY_HOME to a shorter path")
    if found.st_uid != uid:
        os.chown(place, uid, gid)
    place.chmod(0o700)
    return place
