"""Shared by the tests of the embedded PostgreSQL: its programs, a script that owns a server, a one-value query."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from autogrocery.lab.postgres.binaries import find_binaries
from tests.harness.waiting import block_until

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

BINARIES = find_binaries(os.environ)
AS_ROOT = os.geteuid() == 0
TIMEOUT_S = 20.0
OWNER_SCRIPT = """
import os, sys, time
from pathlib import Path
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from autogrocery.lab.postgres.binaries import find_binaries
server = EmbeddedPostgres(Path(sys.argv[1]), find_binaries(os.environ))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


async def query(server: EmbeddedPostgres, sql: str, *, tcp: bool = False, database: str = "postgres") -> Any:
    connection = await asyncpg.connect(server.dsn(database, tcp=tcp), timeout=5)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def restart(server: EmbeddedPostgres) -> None:
    server.launch()
    block_until(server.ready)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
