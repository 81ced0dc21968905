"""The files of one PostgreSQL cluster: made by initdb, checked before each start, cleaned up after a killed server."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.process.run import StartError
from autogrocery.lab import log_files
from autogrocery.lab.postgres.binaries import popen_as

if TYPE_CHECKING:
    from autogrocery.lab.postgres.binaries import Account, Binaries

USER = "postgres"
INITDB_TIMEOUT_S = 60.0
EXIT_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 1.5
POLL_S = 0.005
BUILTIN_LOCALE_MAJOR = 17
MAX_REASON_CHARACTERS = 500
REASON_WORDS = ("FATAL:", "PANIC:", "error:")
SET_MAJOR = 16  # the first whose initdb takes `-c name=value`
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux
MIN_SHARED_MEMORY_BYTES = 32 << 20
# Whatever a client would otherwise take from PGSSLMODE, PGSSLNEGOTIATION, PGTARGETSESSIONATTRS, PGGSSLIB, PGKRBSRVNAME.
CLIENT_PARAMETERS = {
    "sslmode": "disable",
    "sslnegotiation": "postgres",
    "target_session_attrs": "any",
    "gsslib": "gssapi",
    "krbsrvname": "postgres",
}


class PostgresError(StartError):
    """The server ended by itself; the message gives the reason as far as its log shows it."""


def database_url(user: str, password: str, database: str, host: str, port: int) -> str:
    """Return the URL of a database of the embedded server; no PG* variable of a client's environment has a say in it.

    `host` is a loopback address, or the directory of the unix socket.
    """
    parameters = {"host": host, "port": str(port)} | CLIENT_PARAMETERS
    return f"postgresql://{user}:{password}@/{quote(database)}?{urlencode(parameters, quote_via=quote, safe='/')}"


def check_major(data_directory: Path, binaries: Binaries) -> None:
    """Raise StartError if `data_directory` is no cluster, or was written by another major version."""
    try:
        found = (data_directory / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise StartError(f"{data_directory} holds no PostgreSQL cluster: move it away") from None
    if found != str(binaries.major):
        raise StartError(
            f"{data_directory} was written by PostgreSQL {found}, the programs here are {binaries.version}:"
            f" set PG_BIN to the programs of version {found}, or upgrade it with pg_upgrade, or move it away"
        )


def initialize(directory: Path, sockets: Path, binaries: Binaries, account: Account | None, log_file: Path) -> None:
    """Create `directory/data` with initdb, and `directory/password`. Raises StartError, also when the disk is full.

    initdb writes to `data.new`, which is renamed at the end: a half-made cluster is never used.
    """
    _require_account_name(account)
    fresh, password_file = (
        directory / "data.new",
        sockets / "pwfile",
    )  # the server's account can read only its own directory
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password = secrets.token_urlsafe(32)
    _write_private(password_file, password, account)
    _write_private(directory / "password", password, None)
    if account:
        os.chown(fresh, account.uid, account.gid)
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")  # the same on every machine
    program = [
        *(str(binaries.directory / "initdb"), "-D", str(fresh), "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"),
        *(locale if binaries.major >= BUILTIN_LOCALE_MAJOR else locale[:1]),
        *("--no-instructions", "--pwfile", str(password_file)),
        *(("-c", f"dynamic_shared_memory_type={shared_memory_type()}") if binaries.major >= SET_MAJOR else ()),
    ]
    log = log_files.append_to(log_file)
    try:
        status = subprocess.call(  # noqa: S603 - a fixed argument list
            program,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=server_environment(),
            timeout=INITDB_TIMEOUT_S,
            start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGTERM),
            **popen_as(account),
        )
    except subprocess.TimeoutExpired:
        raise StartError(f"initdb took longer than {INITDB_TIMEOUT_S:g} s; its log is {log_file}") from None
    finally:
        os.close(log)
        password_file.unlink(missing_ok=True)
    if status:
        raise PostgresError(exit_report("initdb", status, log_file))
    fresh.rename(directory / "data")


def _require_account_name(account: Account | None) -> None:
    """Raise StartError if the server's account has no name, without which initdb does nothing."""
    try:
        pwd.getpwuid(os.geteuid() if account is None else account.uid)
    except KeyError:
        raise StartError(
            f"this account, uid {os.geteuid()}, has no entry in /etc/passwd, which PostgreSQL's initdb needs:"
            " add one, run as another account, or set DATABASE_URL"
        ) from None


def exit_report(program: str, status: int, log_file: Path) -> str:
    """Return one line that says why `program` ended, from its log."""
    text = log_files.tail(log_file)
    if "shared memory segment" in text and "No space left on device" in text:
        return (
            f"the shared memory in {SHARED_MEMORY} is too small for PostgreSQL's initdb: make it larger"
            " (docker run --shm-size=64m), or use PostgreSQL 16 or later"
        )
    if "No space left on device" in text:
        return f"the disk is full: PostgreSQL can't write to {log_file.parent}; make room and start again"
    lines = [line.strip() for line in text.splitlines()]
    reason = next((line for line in lines if any(word in line for word in REASON_WORDS)), lines[-1])
    return f"{program} ended with status {status}: {reason[:MAX_REASON_CHARACTERS]}; its log is {log_file}"


def shared_memory_type() -> str:
    """Return where the server keeps shared memory of changing size: /dev/shm, or files if that is absent or small."""
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return "mmap"
    return "posix" if found.f_bavail * found.f_frsize >= MIN_SHARED_MEMORY_BYTES else "mmap"


def server_environment() -> dict[str, str]:
    """Return the server's environment: no PG* variable and no secret of this process."""
    kept = ("PATH", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C", "TZ": "UTC"}


def end_leftover_server(data_directory: Path, sockets: Path) -> None:
    """Wait for an earlier server's processes to end, end them if need be, then remove its pid and socket files.

    The files are removed because their pid may belong to another process by now. Call it while holding the lock, so
    that no other supervisor's server is meant. The children of a killed server end by themselves; after EXIT_TIMEOUT_S
    they get SIGINT, then SIGKILL. Raises StartError if a process can't be ended.
    """
    remaining: list[int] = []
    for number, timeout_s in (
        (0, EXIT_TIMEOUT_S),
        (signal.SIGINT, EXIT_TIMEOUT_S),
        (signal.SIGKILL, KILL_TIMEOUT_S),
    ):
        deadline = time.monotonic() + timeout_s
        for pid in _servers_of(data_directory):
            _signal(pid, number)
        while (remaining := _servers_of(data_directory)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if not remaining:
            break
    else:
        raise StartError(f"process {remaining[0]} still runs on {data_directory}: end it first")
    if Path("/proc/self/cwd").exists():  # without /proc it is unknown whether a server still runs
        (data_directory / "postmaster.pid").unlink(missing_ok=True)
        for file in sockets.glob(".s.PGSQL.*"):
            file.unlink(missing_ok=True)


def _servers_of(data_directory: Path) -> list[int]:
    """Return the pids that run a postgres in `data_directory`; zombies and reused pids are left out."""
    found, place = [], Path(os.path.realpath(data_directory))
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == place and (entry / "exe").readlink().name.startswith("postgres"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or belongs to another user
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise StartError(f"process {pid} of another user runs a PostgreSQL in this directory: end it first") from None


def _write_private(file: Path, text: str, owner: Account | None) -> None:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if owner:
            os.fchown(descriptor, owner.uid, owner.gid)
        os.write(descriptor, f"{text}\n".encode("ascii"))
    finally:
        os.close(descriptor)
