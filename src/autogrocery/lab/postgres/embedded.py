"""A PostgreSQL server of our own, as a child process: durable, private, gone when we are.

It lives in one directory: `data` (the cluster), `socket`, `password` (0600), `server.log`, `lock`. Root starts it as an
unprivileged user. It stops cleanly when we die, even by SIGKILL, and what it leaves behind doesn't hinder the next start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg

from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.process.run import StartError
from autogrocery.lab import log_files, ports
from autogrocery.lab.directories import make_private, socket_directory
from autogrocery.lab.lock_file import held
from autogrocery.lab.postgres.binaries import can_enter, popen_as, reachable, server_account
from autogrocery.lab.postgres.cluster import (
    USER,
    PostgresError,
    check_major,
    clear_remains,
    environment,
    initialize,
    obituary,
)

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.lab.postgres.binaries import Account, Binaries

HOST = "127.0.0.1"
PORT_SETTING = "AUTOGROCERY_PG_PORT"
MIN_FREE_BYTES = 192 << 20  # a fresh cluster takes 40 MB, its write-ahead log some hundred more under load
READY_TIMEOUT_S = 60.0  # after a kill under load it replays its log first
STOP_TIMEOUT_S = 5.0
QUIT_TIMEOUT_S = 1.5
CONNECT_TIMEOUT_S = 5.0
POLL_S = 0.005
READY_LINE = 7  # of postmaster.pid, as pg_ctl reads it
READY_WORDS = frozenset({"ready", "standby"})  # a standby takes connections too, for reading
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "deadlock_timeout": "200ms",  # below our lock_timeout, so that a deadlock is told as one
    "jit": "off",  # compiling costs more than our short statements
    "huge_pages": "off",  # `try` dies of SIGBUS in containers with a limit on them
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_error_verbosity": "terse",  # a DETAIL line quotes values: addresses, phone numbers
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """One server in one directory. `start` and `stop` block; whoever has a loop uses `prepare`, `launch` and `ready`.

    Fork (`launch`) in a thread that stays: the server stops when that thread ends.
    """

    def __init__(self, directory: Path, binaries: Binaries, *, port: int = 0, need_bytes: int = MIN_FREE_BYTES) -> None:
        """Keep the arguments. `port` 0 chooses a free one; below `need_bytes` of free disk the first start is refused."""
        self.name = "postgresql"
        self.directory = directory.absolute()
        self.binaries = binaries
        self.port = port
        self.data_directory = self.directory / "data"
        self.password_file = self.directory / "password"
        self.log_file = self.directory / "server.log"
        self.sockets = self.directory / "socket"
        self._need_bytes = need_bytes
        self._account: Account | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._held = ExitStack()

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def dsn(self, database: str = USER, *, tcp: bool = False) -> str:
        """Return the URL of `database`, password included: over the unix socket, or over loopback TCP."""
        password = self.password_file.read_text(encoding="ascii").strip()
        if tcp:
            return f"postgresql://{USER}:{password}@{HOST}:{self.port}/{quote(database)}"
        return f"postgresql://{USER}:{password}@/{quote(database)}?host={quote(str(self.sockets))}&port={self.port}"

    def start(self, ready_timeout_s: float = READY_TIMEOUT_S) -> None:
        """Prepare, launch and wait until it takes connections; on failure leaves nothing running. Raises StartError."""
        try:
            self.prepare()
            self.launch()
            self._await_ready(ready_timeout_s)
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> None:
        """Take the lock, find out as whom to run, and create the cluster if there is none. Raises StartError."""
        try:
            make_private(self.directory)
            self._held.enter_context(held(self.directory / "lock"))
            self._account = server_account(self.data_directory)
            self._check_space()
            owner = (self._account.uid, self._account.gid) if self._account else None
            self.sockets = socket_directory(self.directory / "socket", ".s.PGSQL.65535.lock", owner)
            self._check_reach()
            self.binaries = reachable(self.binaries, self._account, self.directory / "binaries")
            log_files.rotate(self.log_file)
            if self.data_directory.exists():
                check_major(self.data_directory, self.binaries)
            else:
                initialize(self.directory, self.sockets, self.binaries, self._account, self.log_file)
        except OSError as error:
            raise StartError(f"PostgreSQL can't be prepared in {self.directory}: {error.strerror}") from error

    def launch(self) -> None:
        """Start the server and return at once; after a crash, call it again: same port, same data. Raises StartError."""
        self.clear()
        if self.port == 0:
            (self.port,) = ports.free_ports(1)
        ports.check_free(HOST, self.port, PORT_SETTING)
        settings = {"port": str(self.port), "listen_addresses": HOST, "unix_socket_directories": str(self.sockets)}
        arguments = [part for item in (SETTINGS | settings).items() for part in ("-c", "=".join(item))]
        program = [str(self.binaries.directory / "postgres"), "-D", str(self.data_directory), *arguments]
        log = log_files.append_to(self.log_file)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own argument list
                program,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment(),
                start_new_session=True,
                preexec_fn=dies_with_us(signal.SIGINT),  # noqa: PLW1509 - two system calls, no lock is taken
                **popen_as(self._account),
            )
        finally:
            os.close(log)

    def clear(self) -> None:
        """Wait until a killed server's processes are gone, some seconds at worst, then remove its pid files."""
        clear_remains(self.data_directory, self.sockets)

    def poll(self) -> int | None:
        """Exit status of the server, None while it runs."""
        return self._process.poll() if self._process else None

    def ready(self) -> bool:
        """Whether it takes connections; raises PostgresError when it has ended instead."""
        if self.poll() is not None:
            raise PostgresError(self.obituary())
        try:
            lines = (self.data_directory / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > READY_LINE and lines[0] == str(self.pid) and lines[READY_LINE].strip() in READY_WORDS

    def obituary(self) -> str:
        """Say why the server ended, from its log."""
        if "Address already in use" in log_files.tail(self.log_file):
            return f"port {self.port} is in use: set {PORT_SETTING} to another"
        return obituary("PostgreSQL", self.poll() or 0, self.log_file)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def ensure_database(self, name: str) -> None:
        """Create the database `name` if it is absent."""
        connection = await asyncpg.connect(self.dsn(), timeout=CONNECT_TIMEOUT_S)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                quoted = name.replace('"', '""')
                await connection.execute(f'CREATE DATABASE "{quoted}"')
        finally:
            await connection.close()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the server, rolling back open transactions, and give the lock back; never raises for a dead server.

        SIGINT first, SIGQUIT after `timeout_s` (it then replays its log at the next start), SIGKILL last.
        """
        if self._process is not None:
            for number, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, QUIT_TIMEOUT_S)):
                if self._process.poll() is None:
                    self._process.send_signal(number)
                    _wait(self._process, patience_s)
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._process = None
            self.clear()
            if self.sockets.parent != self.directory:
                shutil.rmtree(self.sockets, ignore_errors=True)
        self._held.close()

    def _await_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if time.monotonic() > deadline:
                raise StartError(f"PostgreSQL was not ready within {timeout_s:g} s; its log is {self.log_file}")
            time.sleep(POLL_S)

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.directory).free
        need = self._need_bytes if not self.data_directory.exists() else self._need_bytes // 8
        if free < need:
            raise StartError(
                f"the disk is full: {self.directory} has {free >> 20} MB free, PostgreSQL needs {need >> 20} MB;"
                " make room, or set AUTOGROCERY_HOME to another disk"
            )

    def _check_reach(self) -> None:
        if self._account and not can_enter(self.directory, self._account):
            raise StartError(
                f"PostgreSQL runs as user {self._account.name}, who can't get to {self.directory}:"
                " set AUTOGROCERY_HOME to a directory below which other users may go"
            )


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return
