"""What the tests of the embedded PostgreSQL share: the programs, an owner to kill, a question to ask."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from autogrocery.lab.postgres.binaries import find_binaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

BINARIES = find_binaries(os.environ)
AS_ROOT = os.geteuid() == 0
PATIENCE_S = 20.0
OWNER = """
import os, sys, time
from pathlib import Path
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from autogrocery.lab.postgres.binaries import find_binaries
server = EmbeddedPostgres(Path(sys.argv[1]), find_binaries(os.environ))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


async def ask(server: EmbeddedPostgres, sql: str, *, tcp: bool = False, database: str = "postgres") -> Any:
    connection = await asyncpg.connect(server.dsn(database, tcp=tcp), timeout=5)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def restart(server: EmbeddedPostgres) -> None:
    server.launch()
    until(server.ready)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
