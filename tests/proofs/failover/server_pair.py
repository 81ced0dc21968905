"""Two embedded PostgreSQL servers: a primary, and a standby whose replication passes through a fault proxy."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from msgspec import Struct

from autogrocery.kit.pg.migrate import migrate
from autogrocery.lab.fault_proxy import FaultProxy, NetworkFaults, open_proxy
from autogrocery.lab.postgres.binaries import find_binaries, popen_as, server_account
from autogrocery.lab.postgres.cluster import USER, server_environment
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.homes import temporary_home
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DATABASE = "gateway"
TIMEOUT_S = 30.0
POLL_S = 0.02
STREAMING = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= $1 AND sync_state = $2"


class ServerPair(Struct):
    """The servers, and the proxy that carries the replication."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    replication: FaultProxy

    @property
    def dsn(self) -> str:
        """Return a DSN with both servers; a client connects to the one that accepts writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        password = self.primary.password_file.read_text().strip()
        return f"postgresql://{USER}:{password}@{hosts}/{DATABASE}?target_session_attrs=primary"

    def cut_replication(self) -> None:
        """Stop the replication and refuse its reconnection."""
        self.replication.faults = NetworkFaults(refuse=True)
        self.replication.reset_all()

    async def kill_primary(self) -> None:
        """SIGKILL the server and all its processes, as a power cut does."""
        assert self.primary.pid is not None
        children = list(_children(self.primary.pid))
        self.primary.kill()
        for pid in children:
            _kill(pid)
        await until(lambda: self.primary.poll() is not None, TIMEOUT_S)

    async def promote(self) -> None:
        """Promote the standby; returns when it accepts writes."""
        async with _connected(self.standby.dsn(DATABASE)) as connection:
            assert await connection.fetchval("SELECT pg_promote(true, 30)")


@asynccontextmanager
async def open_server_pair(*, synchronous: bool) -> AsyncIterator[ServerPair]:
    """Start a primary with the gateway's tables and a standby that has caught up; if `synchronous`, commits wait for
    it."""
    binaries = find_binaries(os.environ)
    with temporary_home(on_disk=True) as home:
        primary, standby = (EmbeddedPostgres(home / name, binaries) for name in ("primary", "standby"))
        try:
            primary.start()
            await primary.ensure_database(DATABASE)
            await migrate(primary.dsn(DATABASE), "autogrocery.gateway.store.migrations", "public")
            async with open_proxy(("127.0.0.1", primary.port)) as replication:
                await _copy(primary, standby, replication.port)
                standby.prepare()
                standby.launch()
                await until(standby.ready, TIMEOUT_S)
                await _wait_for_standby(primary, synchronous=synchronous)
                yield ServerPair(primary, standby, replication)
        finally:
            for server in (standby, primary):
                server.kill()  # its data is discarded, so no checkpoint is needed
                server.stop()


async def _copy(primary: EmbeddedPostgres, standby: EmbeddedPostgres, port: int) -> None:
    """Copy the running primary's cluster and configure the copy as a standby of the server at `port`."""
    account = server_account(primary.data_directory)
    password = primary.password_file.read_text()
    standby.directory.mkdir(mode=0o711)
    standby.data_directory.mkdir(mode=0o700)
    standby.password_file.write_text(password)
    standby.password_file.chmod(0o600)
    if account:
        os.chown(standby.data_directory, account.uid, account.gid)
    process = await asyncio.create_subprocess_exec(
        str(primary.binaries.directory / "pg_basebackup"),
        "-D",
        str(standby.data_directory),
        "-R",
        "-c",
        "fast",
        "--no-sync",
        "-d",
        f"host=127.0.0.1 port={port} user={USER} application_name=standby",
        cwd="/",
        env=server_environment() | {"PGPASSWORD": password.strip()},
        **popen_as(account),
    )
    async with asyncio.timeout(TIMEOUT_S):
        assert await process.wait() == 0


async def _wait_for_standby(primary: EmbeddedPostgres, *, synchronous: bool) -> None:
    """Wait until the standby has replayed everything that is committed."""
    async with _connected(primary.dsn(DATABASE)) as connection:
        if synchronous:
            await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await connection.execute("SELECT pg_reload_conf()")
        reached = await connection.fetchval("SELECT pg_current_wal_lsn()")
        await until(lambda: connection.fetchval(STREAMING, reached, "sync" if synchronous else "async"), TIMEOUT_S)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn, timeout=TIMEOUT_S)
    try:
        yield connection
    finally:
        await connection.close()


def _children(parent: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(stat.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
