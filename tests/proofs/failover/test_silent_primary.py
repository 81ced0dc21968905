"""A primary that falls silent, as a machine without power does: no reset tells anybody, and the other server is found all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.pg.migrate import status
from autogrocery.lab.fault_proxy import FaultProxy, Weather, open_proxy
from tests.harness.running_gateway import until

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

SILENT = Weather(black_hole=True)


def dsn_of(postgres: EmbeddedPostgres, *doors: FaultProxy) -> str:
    """Name one server twice: what takes over is told by who is asked, not by what it holds."""
    password = postgres.password_file.read_text().strip()
    hosts = ",".join(f"127.0.0.1:{door.port}" for door in doors)
    return f"postgresql://postgres:{password}@{hosts}/postgres?target_session_attrs=primary"


async def answers(db: Db) -> bool:
    try:
        return await db.row("SELECT 1") is not None
    except Unavailable:
        return False


async def test_a_pool_leaves_a_silent_server_for_the_next(postgres: EmbeddedPostgres) -> None:
    upstream = ("127.0.0.1", postgres.port)
    async with (
        open_proxy(upstream) as first,
        open_proxy(upstream) as second,
        open_db(dsn_of(postgres, first, second), application="failover", max_size=2, silence_s=0.2) as db,
    ):
        assert await answers(db)
        assert first.opened > 0
        assert second.opened == 0
        first.weather = SILENT
        await until(lambda: answers(db))
        assert second.opened > 0


async def test_a_pool_opens_beside_a_silent_server(postgres: EmbeddedPostgres) -> None:
    upstream = ("127.0.0.1", postgres.port)
    async with open_proxy(upstream) as first, open_proxy(upstream) as second:
        first.weather = SILENT
        dsn = dsn_of(postgres, first, second)
        async with open_db(dsn, application="failover") as db:
            assert await answers(db)
        assert not any(one.applied for one in await status(dsn, "autogrocery.gateway.store.migrations", "elsewhere"))
