"""Two embedded servers: a primary, and a standby that follows it over a wire that can be cut."""

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
from autogrocery.lab.fault_proxy import FaultProxy, Weather, open_proxy
from autogrocery.lab.postgres.binaries import find_binaries, popen_as, server_account
from autogrocery.lab.postgres.cluster import USER, environment
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.places import open_place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

DATABASE = "gateway"
PATIENCE_S = 30.0
POLL_S = 0.02
STREAMING = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= $1 AND sync_state = $2"


class Pair(Struct):
    """`wire` is what the standby follows the primary through."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    wire: FaultProxy

    @property
    def dsn(self) -> str:
        """Name both servers; whoever connects goes to the one that takes writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        password = self.primary.password_file.read_text().strip()
        return f"postgresql://{USER}:{password}@{hosts}/{DATABASE}?target_session_attrs=primary"

    def cut(self) -> None:
        """Let the standby hear nothing more."""
        self.wire.weather = Weather(refuse=True)
        self.wire.reset_all()

    async def kill_primary(self) -> None:
        """SIGKILL the server and all its processes, as a machine that loses power would end them."""
        assert self.primary.pid is not None
        children = list(_children(self.primary.pid))
        self.primary.kill()
        for pid in children:
            _kill(pid)
        while self.primary.poll() is None:  # noqa: ASYNC110 - a process's end
            await asyncio.sleep(POLL_S)

    async def promote(self) -> None:
        """Make the standby the primary; returns when it takes writes."""
        async with _connected(self.standby.dsn(DATABASE)) as connection:
            assert await connection.fetchval("SELECT pg_promote(true, 30)")


@asynccontextmanager
async def open_pair(*, synchronous: bool) -> AsyncIterator[Pair]:
    """Start a primary with the gateway's tables and a standby that has caught up; commits wait for it if `synchronous`."""
    binaries = find_binaries(os.environ)
    with open_place(on_disk=True) as home:
        primary, standby = (EmbeddedPostgres(home / name, binaries) for name in ("primary", "standby"))
        try:
            primary.start()
            await primary.ensure_database(DATABASE)
            await migrate(primary.dsn(DATABASE), "autogrocery.gateway.store.migrations", "public")
            async with open_proxy(("127.0.0.1", primary.port)) as wire:
                await _copy(primary, standby, wire.port)
                standby.prepare()
                standby.launch()
                async with asyncio.timeout(PATIENCE_S):
                    while not standby.ready():  # noqa: ASYNC110 - a process's start
                        await asyncio.sleep(POLL_S)
                await _attach(primary, synchronous=synchronous)
                yield Pair(primary, standby, wire)
        finally:
            for server in (standby, primary):
                server.kill()  # nothing of it is wanted any more: no checkpoint is waited for
                server.stop()


async def _copy(primary: EmbeddedPostgres, standby: EmbeddedPostgres, port: int) -> None:
    """Copy the primary's cluster as it runs, with what makes it a standby that follows the server at `port`."""
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
        env=environment() | {"PGPASSWORD": password.strip()},
        **popen_as(account),
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 0


async def _attach(primary: EmbeddedPostgres, *, synchronous: bool) -> None:
    """Wait until the standby has all that there is."""
    async with _connected(primary.dsn(DATABASE)) as connection:
        if synchronous:
            await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await connection.execute("SELECT pg_reload_conf()")
        reached = await connection.fetchval("SELECT pg_current_wal_lsn()")
        async with asyncio.timeout(PATIENCE_S):
            while not await connection.fetchval(STREAMING, reached, "sync" if synchronous else "async"):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn, timeout=PATIENCE_S)
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
