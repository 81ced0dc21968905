"""Fixtures for all tests: one PostgreSQL server a test process, one database a test."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.pg.migrate import migrate
from autogrocery.kit.rpc import environ
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.homes import temporary_home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests with a timeout of their own first: at the end, they would keep one process busy and the rest idle."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


environ.prepare(os.environ)  # as the command line does
PACKAGES = {"public": "gateway", "inventory": "inventory", "pricing": "pricing"}
STATEMENT_TIMEOUT_MS = 5_000  # a loaded machine's slow second is no finding


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Start this test process's own server."""
    with temporary_home() as home:
        server = EmbeddedPostgres(home, find_binaries(os.environ))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> Callable[[str], str]:
    """Return the name of a template database with a schema's tables, created at the first use."""
    made: set[str] = set()

    def of(schema: str) -> str:
        name = f"template_{schema}"
        if name not in made:
            package = f"autogrocery.{PACKAGES[schema]}.store.migrations"

            async def make() -> None:
                await postgres.ensure_database(name)
                await migrate(postgres.dsn(name), package, schema)

            asyncio.run(make())
            made.add(name)
        return name

    return of


@pytest.fixture
def dsn_of(postgres: EmbeddedPostgres, template: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Return the DSN of a new database with the tables of a schema: public, inventory or pricing."""
    yield from _databases(postgres, template)


@pytest.fixture(scope="module")
def module_dsn_of(postgres: EmbeddedPostgres, template: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Like `dsn_of`, for a whole module: each of its tests registers a device of its own."""
    yield from _databases(postgres, template)


def _databases(postgres: EmbeddedPostgres, template: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    made: list[str] = []

    def of(schema: str) -> str:
        name = f"test_{uuid7().hex}"
        asyncio.run(_execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template(schema)} STRATEGY FILE_COPY"))
        made.append(name)
        return postgres.dsn(name)

    yield of
    for name in made:
        asyncio.run(_execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(postgres: EmbeddedPostgres, sql: str) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    await connection.execute(sql)
    await connection.close()


@pytest.fixture
def gateway_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("public")


@pytest.fixture
async def gateway_db(gateway_dsn: str) -> AsyncIterator[Db]:
    async with open_db(gateway_dsn, application="tests", statement_timeout_ms=STATEMENT_TIMEOUT_MS) as db:
        yield db


@pytest.fixture(scope="module")
def module_dsn(module_dsn_of: Callable[[str], str]) -> str:
    return module_dsn_of("public")
