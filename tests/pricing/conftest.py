from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.contracts.pricing.v1.pricing_pb2_grpc import PricingServiceStub
from autogrocery.kit import migrate, rpc
from autogrocery.kit.pg import Db, open_db
from autogrocery.pricing.app import MIGRATIONS, SCHEMA
from autogrocery.pricing.rpc import SERVICE, Pricing, adder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path())
DEADLINE_S = 20.0


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """DSN of a PostgreSQL of this run's own, reached by its socket."""
    home = Path(tempfile.mkdtemp(prefix="agp"))
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(home, user)
    run = {"user": user, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [BINARIES / "initdb", "-D", home / "data", "-U", "tester", "--auth=trust", "--no-sync"], check=True, **run
    )
    postgres = subprocess.Popen(
        [BINARIES / "postgres", "-D", home / "data", "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"], **run
    )
    try:
        dsn = f"postgresql://tester@/postgres?host={home}"
        asyncio.run(answers(dsn))
        yield dsn
    finally:
        postgres.terminate()
        postgres.wait(DEADLINE_S)
        shutil.rmtree(home)


async def answers(dsn: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                connection = await asyncpg.connect(dsn)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)
                continue
            await connection.close()
            return


@pytest.fixture
async def dsn(server: str) -> str:
    """A database with pricing's tables, empty."""
    connection = await asyncpg.connect(server)
    await connection.execute("DROP SCHEMA IF EXISTS pricing CASCADE")
    await connection.close()
    await migrate.migrate(server, MIGRATIONS, SCHEMA)
    return server


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, application="pricing tests") as db:
        yield db


@pytest.fixture
async def pricing(db: Db) -> AsyncIterator[PricingServiceStub]:
    """A client of a pricing that takes 30 % on the cost."""
    served = adder(Pricing(db, currency="EUR", margin_percent=30))
    async with (
        rpc.serve("PRICING_GRPC_ADDR", "127.0.0.1", 0, served, (SERVICE,)) as port,
        rpc.open_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield PricingServiceStub(channel)
