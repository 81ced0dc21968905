"""Databases that can't be used: each is told in one line that says what, why and what to do, without a secret."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg
import pytest

from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.diagnosis import UnsuitableServerError, require_suitable
from autogrocery.kit.pg.migrate import MigrationError, migrate
from tests.harness.refused_databases import PACKAGE, execute, reasons, run_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

MALFORMED = "the address is malformed: expected postgresql://"
# {at} is host and port of a real server, {weak} a user without privileges.
WRONG = {
    "": MALFORMED,
    "hunter2": MALFORMED,
    "http://u:hunter2@h/x": MALFORMED,
    "postgresql://u:hunter2@127.0.0.1:port/x": MALFORMED,
    "postgresql://u:hunter2@127.0.0.1:99999/x": MALFORMED,
    "postgresql://u:hunter2@/x?port=99999": MALFORMED,
    "postgresql://u:hunter2@/x?port=a&host=h": MALFORMED,
    "postgresql://u:hunt@er2@127.0.0.1:1/x": MALFORMED,
    "postgresql://u:hunt/er2@127.0.0.1:1/x": MALFORMED,
    "postgresql://u:12/er2@127.0.0.1:1/x": MALFORMED,
    "postgresql://u:12#er2@127.0.0.1:1/x": MALFORMED,
    "postgresql://u:12?er2@127.0.0.1:1/x": MALFORMED,
    "postgresql://u:12?er2=x@127.0.0.1:1/x": MALFORMED,
    "postgresql://u:hunter2@[::1/x": MALFORMED,
    "postgresql://u:hunter2@{at}/x?sslmode=hunter2": MALFORMED,
    "postgresql://u:hunter2@no-such-host.invalid/x": "the database server no-such-host.invalid is unknown",
    "postgresql://u:hunter2@127.0.0.1:1/x": "the database server 127.0.0.1:1 refuses the connection: start",
    "postgresql://u:hunter2@/x?host=/nonexistent": "the database socket in /nonexistent",
    "postgresql://postgres:hunter2@{at}/postgres": "password refused for user postgres",
    "postgresql://postgres@{at}/postgres": "password refused for user postgres",
    "postgresql://nobody:hunter2@{at}/postgres": "password refused for user nobody",
    "postgresql://weak:hunter2weak@{at}/no_such": "database no_such does not exist: create it",
    "postgresql://weak:hunter2weak@{at}/closed": "the user lacks a privilege (permission denied for database",
    "postgresql://asleep:hunter2weak@{at}/postgres": "refuses the user",
    "postgresql://weak:hunter2weak@{at}/ascii": "the database is in encoding SQL_ASCII, and UTF8 is needed",
    "postgresql://weak:hunter2weak@{at}/latin": "the database is in encoding LATIN1, and UTF8 is needed",
    "postgresql://weak:hunter2weak@{at}/closed?sslmode=require": "offers no TLS",
    "postgresql://weak:hunter2weak@{at}/closed?sslmode=verify-full&sslrootcert=/none": "does not exist",
    "postgresql://weak:hunter2weak@{at}/postgres?target_session_attrs=standby": "not what target_session_attrs asks",
    "postgresql://weak:hunter2weak@{at}/postgres?work_mem=much": "refuses the value of parameter work_mem",
}
PREPARE = (
    "CREATE ROLE weak LOGIN PASSWORD 'hunter2weak'",
    "CREATE ROLE asleep NOLOGIN PASSWORD 'hunter2weak'",
    "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc TEMPLATE template0",
    "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc TEMPLATE template0",
    "CREATE DATABASE closed",
    "REVOKE CONNECT ON DATABASE closed FROM public",
)
REMOVE = ("DROP DATABASE ascii", "DROP DATABASE latin", "DROP DATABASE closed", "DROP ROLE weak", "DROP ROLE asleep")


@pytest.fixture(scope="module")
def at(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Host and port of a server with databases and users that are each wrong in one way."""
    asyncio.run(execute(postgres.dsn(), *PREPARE))
    yield f"127.0.0.1:{postgres.port}"
    asyncio.run(execute(postgres.dsn(), *REMOVE))


@pytest.mark.parametrize("dsn", WRONG)
async def test_wrong_address_is_told_in_one_line_without_a_secret(dsn: str, at: str) -> None:
    for reason in await reasons(dsn.format(at=at)):
        assert WRONG[dsn] in reason
        assert not any(secret in reason for secret in ("hunter2", "er2", "\n"))


@pytest.fixture
async def no_postgres() -> AsyncIterator[dict[str, int]]:
    """Ports of programs that are no PostgreSQL: one hangs up, one speaks HTTP."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def speak_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    servers = {
        "hangs up": await asyncio.start_server(hang_up, "127.0.0.1", 0),
        "speaks HTTP": await asyncio.start_server(speak_http, "127.0.0.1", 0),
    }
    yield {what: server.sockets[0].getsockname()[1] for what, server in servers.items()}
    for server in servers.values():
        server.close()


@pytest.mark.parametrize("what", ["hangs up", "speaks HTTP"])
async def test_program_that_is_no_postgresql_is_told(what: str, no_postgres: dict[str, int]) -> None:
    for reason in await reasons(f"postgresql://u:hunter2@127.0.0.1:{no_postgres[what]}/x"):
        assert f"the database server 127.0.0.1:{no_postgres[what]}" in reason
        assert "PostgreSQL" in reason


async def test_database_without_privileges_is_refused_by_migrate_in_one_line(at: str) -> None:
    with pytest.raises(MigrationError, match="the user lacks a privilege"):
        await migrate(f"postgresql://weak:hunter2weak@{at}/postgres", PACKAGE, "pricing")


class ServerOfVersion:
    """What a connection tells of its server, as PostgreSQL of one major version would."""

    def __init__(self, major: int, encoding: str = "UTF8") -> None:
        self._major, self.server_encoding = major, encoding

    def get_server_version(self) -> asyncpg.types.ServerVersion:
        return asyncpg.types.ServerVersion(self._major, 0, 0, "final", 0)

    def get_settings(self) -> ServerOfVersion:
        return self


@pytest.mark.parametrize("major", [9, 13, 14])
def test_server_that_is_too_old_is_refused(major: int) -> None:
    with pytest.raises(UnsuitableServerError, match=f"PostgreSQL {major}, and 15 or later is needed"):
        require_suitable(ServerOfVersion(major))  # type: ignore[arg-type]


def test_server_of_a_later_version_is_accepted() -> None:
    require_suitable(ServerOfVersion(15))  # type: ignore[arg-type]


async def test_password_with_special_characters_works_percent_encoded(postgres: EmbeddedPostgres) -> None:
    password = "a@b:c/d#e?f%g h,i"
    await execute(postgres.dsn(), f"CREATE ROLE odd LOGIN PASSWORD '{password}'")
    try:
        dsn = f"postgresql://odd:{quote(password, safe='')}@127.0.0.1:{postgres.port}/postgres"
        async with open_db(dsn, application="tests", max_size=1) as db:
            assert await db.row("SELECT 1") is not None
    finally:
        await execute(postgres.dsn(), "DROP ROLE odd")


COMMANDS = (
    ("gateway",),
    ("inventory",),
    ("pricing",),
    ("migrate",),
    ("migrate", "status"),
    ("audit",),
    ("device", "list"),
    ("truck", "list"),
    ("enrolment", "list"),
    ("receipt", "list"),
    ("lots",),
    ("ledger",),
    ("order", "show", "01890000-0000-7000-8000-000000000001"),
    ("order", "doctor"),
    ("recall", "3F9A-01BC-77DE"),
    ("device", "disable", "x"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_role_and_command_tells_a_refused_password_and_a_wrong_encoding(words: tuple[str, ...], at: str) -> None:
    for dsn, reason in (
        ("postgresql://postgres:hunter2@{at}/postgres", "password refused for user postgres"),
        ("postgresql://weak:hunter2weak@{at}/latin", "encoding LATIN1"),
    ):
        ended = run_on(*words, DATABASE_URL=dsn.format(at=at))
        said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]  # the rest is the log
        assert (ended.returncode, len(said)) == (2, 1), ended.stderr
        assert reason in said[0]
        assert "hunter2" not in ended.stderr + ended.stdout
        assert "Traceback" not in ended.stderr


def test_up_and_doctor_tell_a_wrong_encoding_in_one_line(at: str, tmp_path: Path) -> None:
    dsn = f"postgresql://weak:hunter2weak@{at}/latin"
    started = run_on("up", "--ports", "auto", DATABASE_URL=dsn, AUTOGROCERY_HOME=f"{tmp_path}/home")
    assert started.returncode == 2
    assert started.stderr.startswith("autogrocery up: DATABASE_URL: the database is in encoding LATIN1")
    assert started.stderr.count("\n") == 1
    examined = run_on("doctor", DATABASE_URL=dsn, AUTOGROCERY_HOME=f"{tmp_path}/home")
    assert (examined.returncode, "encoding LATIN1" in examined.stdout) == (1, True)


def test_variable_of_a_peers_database_is_named(at: str) -> None:
    wrong = f"postgresql://postgres:hunter2@{at}/postgres"
    for role, variable in (("inventory", "INVENTORY_DATABASE_URL"), ("pricing", "PRICING_DATABASE_URL")):
        ended = run_on(role, **{variable: wrong, "DATABASE_URL": "postgresql://u@127.0.0.1:1/x"})
        assert f"autogrocery {role}: {variable}: password refused for user postgres" in ended.stderr
