"""A primary that stops answering without a reset, as after a power cut: clients connect to the other server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.pg.migrate import status
from autogrocery.lab.fault_proxy import FaultProxy, NetworkFaults, open_proxy
from tests.harness.waiting import until

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

SILENT = NetworkFaults(black_hole=True)


def dsn_of(postgres: EmbeddedPostgres, *proxies: FaultProxy) -> str:
    """Return a DSN that names one server twice, through two proxies: the proxy that carries traffic shows which was
    chosen."""
    password = postgres.password_file.read_text().strip()
    hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    return f"postgresql://postgres:{password}@{hosts}/postgres?target_session_attrs=primary"


async def is_answered(db: Db) -> bool:
    try:
        return await db.row("SELECT 1") is not None
    except Unavailable:
        return False


async def test_a_pool_moves_from_a_silent_server_to_the_next(postgres: EmbeddedPostgres) -> None:
    upstream = ("127.0.0.1", postgres.port)
    async with (
        open_proxy(upstream) as first,
        open_proxy(upstream) as second,
        open_db(dsn_of(postgres, first, second), application="failover", max_size=2, answer_grace_s=0.2) as db,
    ):
        assert await is_answered(db)
        assert first.opened > 0
        assert second.opened == 0
        first.faults = SILENT
        await until(lambda: is_answered(db))
        assert second.opened > 0


async def test_a_pool_opens_although_the_first_server_is_silent(postgres: EmbeddedPostgres) -> None:
    upstream = ("127.0.0.1", postgres.port)
    async with open_proxy(upstream) as first, open_proxy(upstream) as second:
        first.faults = SILENT
        dsn = dsn_of(postgres, first, second)
        async with open_db(dsn, application="failover") as db:
            assert await is_answered(db)
        assert not any(one.applied for one in await status(dsn, "autogrocery.gateway.store.migrations", "elsewhere"))
