"""Asks why an address of a database is refused: by the functions that open one, and by commands."""

from __future__ import annotations

import os
import subprocess
import sys

import asyncpg
import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.migrate import MigrationError, migrate, status

PACKAGE = "autogrocery.pricing.store.migrations"
SECRETS = {
    "JWT_SECRET": "signs-what-devices-show-the-gateway",
    "ROBOT_JWT_SECRET": "signs-what-robots-show-to-inventory",
    "WEBHOOK_SECRET": "signs-what-inventory-says-to-gateway",
}


async def execute(dsn: str, *statements: str) -> None:
    """Run statements, each its own transaction, on one connection."""
    connection = await asyncpg.connect(dsn)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def reasons(dsn: str) -> list[str]:
    """Return why migrate, status and a pool refuse an address."""
    found = []
    for ask in (migrate, status):
        with pytest.raises(MigrationError) as refused:
            await ask(dsn, PACKAGE, "pricing")
        found.append(str(refused.value))
    with pytest.raises(Unavailable) as unavailable:
        async with open_db(dsn, application="tests"):
            pass
    return [*found, unavailable.value.detail]


def run_on(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these variables and no others, and wait for its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "autogrocery", *words],
        env={"PATH": os.environ["PATH"], "AUTOGROCERY_HOME": "/nonexistent/home", **SECRETS, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
