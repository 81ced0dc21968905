from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from autogrocery.kit.clock import uuid7
from tests.inventory.shop import Shop
from tests.inventory.shop import shop as opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from autogrocery.kit.embedded_pg import EmbeddedPostgres


@pytest.fixture(scope="module")
def inventory_dsn_of_module(postgres: EmbeddedPostgres, template: Callable[[str], str]) -> Iterator[str]:
    """DSN of a database with inventory's tables for a whole module."""
    name = f"test_{uuid7().hex}"
    asyncio.run(_execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template('inventory')}"))
    yield postgres.dsn(name)
    asyncio.run(_execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


async def _execute(postgres: EmbeddedPostgres, sql: str) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute(sql)
    await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inventory_of_module(inventory_dsn_of_module: str) -> AsyncIterator[Shop]:
    """An inventory with a small fleet and full shelves, for a whole module."""
    async with opened(
        inventory_dsn_of_module, robot_queue_max=1_000, robot_seen_s=3_600.0, pick_lease_s=60.0
    ) as running:
        await running.fleet()
        await running.stock(milk=100_000, yoghurt=50, baguette=50, apple=50)
        yield running
        assert await running.violations() == []
