"""Migrations: numbered SQL files, each applied once, in order, under an advisory lock that is polled.

Polled, because a session that blocks in pg_advisory_lock holds a snapshot and so deadlocks with CREATE INDEX
CONCURRENTLY. A file that changed after it was applied is refused: a migration is never edited, only followed by
another.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.kit.pg.connect import CONNECT_ERRORS, Servers
from autogrocery.kit.pg.diagnosis import explain
from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import asyncpg

LOCK_KEY = 0x6175746F67726F63  # "autogroc"
LOCK_POLL_S = 0.2
LOCK_WAIT_S = 30.0
LOCK_TIMEOUT_MS = 4_000
STATEMENT_TIMEOUT_MS = 5_000
CONNECT_TIMEOUT_S = 5.0
NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


class MigrationError(StartError):
    """The database can't be reached or does not match the files; the message tells the operator what differs."""


class Migration(Struct, frozen=True):
    """One file: its number, its name, its text and the SHA-256 of its bytes."""

    number: int
    name: str
    sql: str
    sha256: str


class MigrationStatus(Struct, frozen=True):
    """A migration and whether the database has it."""

    name: str
    applied: bool


def files(package: str) -> list[Migration]:
    """Return the migrations in `package`, by number; raises MigrationError on a gap or a name of another form."""
    found: list[Migration] = []
    for entry in sorted(resources.files(package).iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        match = NAME.match(entry.name)
        if not match or int(match[1]) != len(found) + 1:
            raise MigrationError(f"{package}: {entry.name} does not follow 0001_name.sql, 0002_name.sql, …")
        text = entry.read_text(encoding="utf-8")
        found.append(Migration(int(match[1]), entry.name, text, hashlib.sha256(text.encode()).hexdigest()))
    return found


async def status(dsn: str, package: str, schema: str, *, newer_is_fine: bool = False) -> list[MigrationStatus]:
    """Return every migration of `package` and whether `schema` has it; raises MigrationError if the two differ.

    With `newer_is_fine` the schema may have migrations of a later version, as while it is rolled out: those only add.
    """
    async with _connected(dsn) as connection:
        done = await _applied(connection, schema)
    found = files(package)
    if newer_is_fine and (newer := done.keys() - {one.number for one in found}):
        log.warning("database_is_newer", schema=schema, migrations=len(newer))
        done = {number: sha256 for number, sha256 in done.items() if number not in newer}
    return [MigrationStatus(migration.name, migration.number in done) for migration in _checked(found, done)]


async def migrate(dsn: str, package: str, schema: str) -> list[str]:
    """Apply the files that `schema` lacks, each in a transaction of its own, and return their names.

    Two concurrent runs are safe. A file that begins with `-- no-transaction` runs statement by statement, outside one.
    """
    async with _connected(dsn) as connection:  # closing it releases the lock
        await _lock(connection)
        await connection.execute(
            f"SET lock_timeout = {LOCK_TIMEOUT_MS}; SET statement_timeout = {STATEMENT_TIMEOUT_MS}"
        )
        await connection.execute(
            f"CREATE SCHEMA IF NOT EXISTS {schema};"
            f"CREATE TABLE IF NOT EXISTS {schema}.schema_migrations (number integer PRIMARY KEY, name text NOT NULL,"
            " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = await _applied(connection, schema)
        missing = [migration for migration in _checked(files(package), done) if migration.number not in done]
        for migration in missing:
            await _apply(connection, schema, migration)
    return [migration.name for migration in missing]


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect while the block runs; a database's error becomes a MigrationError that says why, without the DSN."""
    try:
        connection: asyncpg.Connection[asyncpg.Record] = await Servers(dsn).connect(timeout=CONNECT_TIMEOUT_S)
        try:
            yield connection
        finally:
            await connection.close()
    except CONNECT_ERRORS as error:
        raise MigrationError(explain(error, dsn)) from error


def _checked(found: list[Migration], done: dict[int, str]) -> list[Migration]:
    for migration in found:
        if done.get(migration.number, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it was applied: put it back and add a new file")
    if unknown := done.keys() - {migration.number for migration in found}:
        raise MigrationError(
            f"the database has migration {max(unknown):04}, which this version does not know: upgrade it"
        )
    return found


async def _lock(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    try:
        async with asyncio.timeout(LOCK_WAIT_S):
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):  # noqa: ASYNC110
                await asyncio.sleep(LOCK_POLL_S)
    except TimeoutError:
        raise MigrationError(
            f"another process has migrated it for more than {LOCK_WAIT_S:g} s: wait for it, or end it"
        ) from None


async def _applied(connection: asyncpg.Connection[asyncpg.Record], schema: str) -> dict[int, str]:
    table = f"{schema}.schema_migrations"
    if await connection.fetchval("SELECT to_regclass($1)", table) is None:
        return {}
    rows: Sequence[asyncpg.Record] = await connection.fetch(f"SELECT number, sha256 FROM {table}")  # noqa: S608 - ours
    return {row["number"]: row["sha256"] for row in rows}


async def _apply(connection: asyncpg.Connection[asyncpg.Record], schema: str, migration: Migration) -> None:
    record = f"INSERT INTO {schema}.schema_migrations (number, name, sha256) VALUES ($1, $2, $3)"  # noqa: S608
    values = (migration.number, migration.name, migration.sha256)
    if migration.sql.startswith("-- no-transaction"):
        await connection.execute("SET statement_timeout = 0")
        for statement in filter(None, (part.strip() for part in migration.sql.split(";\n"))):
            await connection.execute(statement)
        await connection.execute(record, *values)
        return
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(record, *values)
