from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
import pytest_asyncio

from autogrocery.kit.clock import uuid7
from tests.fakes.peers import PRICES
from tests.gateway_http.shop import Device, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from autogrocery.kit.embedded_pg import EmbeddedPostgres


@pytest.fixture(scope="module")
def module_dsn(postgres: EmbeddedPostgres, template: Callable[[str], str]) -> Iterator[str]:
    """A database for a whole module: each test brings a device of its own, which sees nothing of the others."""
    name, made_of = f"test_{uuid7().hex}", template("public")

    async def execute(sql: str) -> None:
        connection = await asyncpg.connect(postgres.dsn())
        await connection.execute(sql)
        await connection.close()

    asyncio.run(execute(f"CREATE DATABASE {name} TEMPLATE {made_of}"))
    yield postgres.dsn(name)
    asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_doors(module_dsn: str) -> AsyncIterator[Shop]:
    async with open_shop(module_dsn) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="module")
async def shop(open_doors: Shop) -> Shop:
    """The module's gateway, with shelves full and peers well."""
    shelf, prices = open_doors.shelf, open_doors.prices
    shelf.trouble, shelf.after_effect, shelf.refuse_robots, shelf.gate = {}, False, False, None
    shelf.stock.update({sku: 1_000 - shelf.stock[sku] for sku in PRICES})
    prices.trouble = None
    return open_doors


@pytest_asyncio.fixture(loop_scope="module")
async def device(shop: Shop) -> Device:
    return await shop.device()
