"""Debian's PgBouncer in transaction mode before a test's database, as docs/RUNBOOK.md#a-pooler has it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import asyncpg
from msgspec import Struct

from autogrocery.lab.ports import free_ports
from autogrocery.lab.postgres.binaries import server_account
from tests.harness.debian import debian_program
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
max_client_conn = 200
default_pool_size = {sessions}
server_round_robin = 1
"""


class Pooler(Struct):
    """A running PgBouncer: the address of the database through it, and its process, which `restart` replaces."""

    dsn: str
    directory: Path
    process: asyncio.subprocess.Process

    async def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        await self.process.wait()

    async def start(self) -> None:
        """Start it again; returns when a client can ask through it."""
        self.process = await _launch(self.directory)
        await until(self.answers)

    async def answers(self) -> bool:
        """Whether a client can ask through it."""
        assert self.process.returncode is None, (self.directory / "log").read_text()
        try:
            connection = await asyncpg.connect(self.dsn, statement_cache_size=0, timeout=2)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True


@asynccontextmanager
async def pooler(dsn: str, directory: Path, *, sessions: int = 3) -> AsyncIterator[Pooler]:
    """Run a pooler of a few sessions, which takes them in turn, so that no client keeps one.

    `directory` is one that other accounts may enter.
    """
    parts = urlsplit(dsn)
    place = dict(parse_qsl(parts.query))  # of a server on a socket
    (listen,) = free_ports(1)
    users = directory / "users.txt"
    users.write_text(f'"{parts.username}" "{parts.password}"\n')
    file = directory / "pgbouncer.ini"
    file.write_text(
        CONFIGURATION.format(host=place["host"], port=place["port"], listen=listen, users=users, sessions=sessions)
    )
    through = f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{listen}{parts.path}"
    running = Pooler(through, directory, await _launch(directory))
    try:
        await until(running.answers)
        yield running
    finally:
        if running.process.returncode is None:
            await running.kill()


async def _launch(directory: Path) -> asyncio.subprocess.Process:
    pgbouncer = debian_program("pgbouncer")
    account = server_account(directory / "none")  # like PostgreSQL, it does not run as root
    arguments = [pgbouncer.path, str(directory / "pgbouncer.ini")]
    with (directory / "log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *arguments, env=pgbouncer.environ, stdout=log, stderr=log, user=account.uid if account else None
        )
