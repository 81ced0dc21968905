"""The benchmark's PostgreSQL is durable and has room for pgbench; its devices have e-mail addresses or none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bench.environment import add_devices, check_durable, fresh_database, open_postgres

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres


async def show(dsn: str, setting: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval(f"SHOW {setting}"))
    finally:
        await connection.close()


def test_server_is_durable_and_takes_512_clients_of_pgbench() -> None:
    with open_postgres() as server:
        assert asyncio.run(check_durable(server.dsn())).keys() == {"fsync", "synchronous_commit", "full_page_writes"}
        assert int(asyncio.run(show(server.dsn(), "max_connections"))) > 512


@pytest.mark.parametrize("email", [True, False])
async def test_devices_have_an_address_each_or_none(postgres: EmbeddedPostgres, *, email: bool) -> None:
    dsn = await fresh_database(postgres)
    tokens = await add_devices(dsn, 3, b"k" * 32, email=email)
    connection = await asyncpg.connect(dsn)
    try:
        addresses = [row["email"] for row in await connection.fetch("SELECT email FROM smart_devices ORDER BY id")]
    finally:
        await connection.close()
    assert len(set(tokens)) == 3
    assert addresses == [f"bench-{number}@devices.example" if email else None for number in (1, 2, 3)]
