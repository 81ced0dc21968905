"""An embedded PostgreSQL server as a child process: durable, private, ended when this process ends.

It uses one directory: `data` (the cluster), `socket`, `password` (0600), `server.log`, `lock`. Root starts it as an
unprivileged account. It shuts down cleanly when this process dies, even by SIGKILL, and files left by a killed server
do not hinder the next start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import asyncpg

from autogrocery.kit.process.lock_file import exclusive_lock
from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.process.run import StartError
from autogrocery.lab import log_files, ports
from autogrocery.lab.directories import make_private, socket_directory
from autogrocery.lab.postgres.binaries import can_enter, popen_as, runnable_binaries, server_account
from autogrocery.lab.postgres.cluster import (
    USER,
    PostgresError,
    check_major,
    database_url,
    end_leftover_server,
    exit_report,
    initialize,
    server_environment,
    shared_memory_type,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from autogrocery.lab.postgres.binaries import Account, Binaries

HOST = "127.0.0.1"
PORT_SETTING = "AUTOGROCERY_PG_PORT"
MIN_FREE_BYTES = 192 << 20  # a new cluster takes 40 MB, its write-ahead log some 100 MB more under load
READY_TIMEOUT_S = 60.0  # after a kill under load it replays its write-ahead log first
STOP_TIMEOUT_S = 5.0
SIGQUIT_TIMEOUT_S = 1.5
CONNECT_TIMEOUT_S = 5.0
POLL_S = 0.005
READY_LINE = 7  # of postmaster.pid, as pg_ctl reads it
READY_WORDS = frozenset({"ready", "standby"})  # a standby accepts read-only connections
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "deadlock_timeout": "200ms",  # below the roles' lock_timeout, so that a deadlock is reported as one
    "jit": "off",  # compiling costs more than these short statements
    "huge_pages": "off",  # `try` dies of SIGBUS in containers with a limit on them
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_error_verbosity": "terse",  # a DETAIL line quotes values: addresses, phone numbers
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """One server in one directory. `start` and `stop` block; in an event loop use `prepare`, `launch` and `ready`.

    Call `launch` in a thread that lives on: the server stops when the thread that forked it ends.
    """

    def __init__(
        self,
        directory: Path,
        binaries: Binaries,
        *,
        port: int = 0,
        need_bytes: int = MIN_FREE_BYTES,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`port` 0 chooses a free one; the first start is refused with fewer than `need_bytes` of free disk.

        `settings` of the server replace those of SETTINGS.
        """
        self.name = "postgresql"
        self.directory = directory.absolute()
        self.binaries = binaries
        self.port = port
        self.data_directory = self.directory / "data"
        self.password_file = self.directory / "password"
        self.log_file = self.directory / "server.log"
        self.sockets = self.directory / "socket"
        self._need_bytes = need_bytes
        self._settings = SETTINGS | dict(settings or {})
        self._account: Account | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._locks = ExitStack()

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def dsn(self, database: str = USER, *, tcp: bool = False) -> str:
        """Return the URL of `database`, password included: over the unix socket, or over loopback TCP."""
        password = self.password_file.read_text(encoding="ascii").strip()
        if tcp:
            return database_url(USER, password, database, HOST, self.port)
        return database_url(USER, password, database, str(self.sockets), self.port)

    def start(self, ready_timeout_s: float = READY_TIMEOUT_S) -> None:
        """Prepare, launch and wait until it accepts connections; a failed start leaves nothing. Raises StartError."""
        try:
            self.prepare()
            self.launch()
            self._await_ready(ready_timeout_s)
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> None:
        """Acquire the lock, choose the account, and create the cluster if there is none. Raises StartError."""
        try:
            make_private(self.directory)
            self._locks.enter_context(exclusive_lock(self.directory / "lock"))
            self._account = server_account(self.data_directory)
            self._check_space()
            owner = (self._account.uid, self._account.gid) if self._account else None
            self.sockets = socket_directory(self.directory / "socket", ".s.PGSQL.65535.lock", owner)
            self._check_access()
            self.binaries = runnable_binaries(self.binaries, self._account, self.directory / "binaries")
            log_files.rotate(self.log_file)
            if self.data_directory.exists():
                check_major(self.data_directory, self.binaries)
            else:
                initialize(self.directory, self.sockets, self.binaries, self._account, self.log_file)
        except OSError as error:
            raise StartError(f"PostgreSQL can't be prepared in {self.directory}: {error.strerror}") from error

    def launch(self) -> None:
        """Start the server and return at once; after a crash call it again: same port, same data. Raises StartError."""
        self.clean_up()
        if self.port == 0:
            (self.port,) = ports.free_ports(1)
        ports.check_free(HOST, self.port, PORT_SETTING)
        settings = {
            "dynamic_shared_memory_type": shared_memory_type(),
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": str(self.sockets),
        }
        arguments = [part for item in (self._settings | settings).items() for part in ("-c", "=".join(item))]
        program = [str(self.binaries.directory / "postgres"), "-D", str(self.data_directory), *arguments]
        log = log_files.append_to(self.log_file)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed argument list
                program,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=server_environment(),
                start_new_session=True,
                preexec_fn=dies_with_us(signal.SIGINT),  # noqa: PLW1509 - two system calls, no lock is taken
                **popen_as(self._account),
            )
        finally:
            os.close(log)

    def clean_up(self) -> None:
        """Wait until the processes of a killed server have ended, a few seconds at worst, then remove its pid files."""
        end_leftover_server(self.data_directory, self.sockets)

    def poll(self) -> int | None:
        """Exit status of the server, None while it runs."""
        return self._process.poll() if self._process else None

    def ready(self) -> bool:
        """Return whether it accepts connections; raises PostgresError if it has ended."""
        if self.poll() is not None:
            raise PostgresError(self.exit_report())
        try:
            lines = (self.data_directory / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > READY_LINE and lines[0] == str(self.pid) and lines[READY_LINE].strip() in READY_WORDS

    def exit_report(self) -> str:
        """Return a message that says why the server ended, from its log."""
        if "Address already in use" in log_files.tail(self.log_file):
            return f"port {self.port} is in use: set {PORT_SETTING} to another"
        return exit_report("PostgreSQL", self.poll() or 0, self.log_file)

    def kill(self) -> None:
        """Send SIGKILL, as a crash would end it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def ensure_database(self, name: str) -> None:
        """Create the database `name` if it does not exist."""
        connection = await asyncpg.connect(self.dsn(), timeout=CONNECT_TIMEOUT_S)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                quoted = name.replace('"', '""')
                await connection.execute(f'CREATE DATABASE "{quoted}"')
        finally:
            await connection.close()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop the server, rolling back open transactions, and release the lock; harmless if it has ended.

        Sends SIGINT, after `timeout_s` SIGQUIT (the server then replays its log at the next start), finally SIGKILL.
        """
        if self._process is not None:
            for number, wait_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, SIGQUIT_TIMEOUT_S)):
                if self._process.poll() is None:
                    self._process.send_signal(number)
                    _wait(self._process, wait_s)
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._process = None
            self.clean_up()
            if self.sockets.parent != self.directory:
                shutil.rmtree(self.sockets, ignore_errors=True)
        self._locks.close()

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

    def _check_access(self) -> None:
        if self._account and not can_enter(self.directory, self._account):
            raise StartError(
                f"PostgreSQL runs as user {self._account.name}, who can't enter {self.directory}:"
                " set AUTOGROCERY_HOME to a directory that other users may enter"
            )


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return
