"""The embedded PostgreSQL against real servers: start, kill, restart."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from autogrocery.kit.process.lock_file import LockHeldError
from autogrocery.kit.process.run import StartError
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.small_cluster import AS_ROOT, BINARIES, OWNER_SCRIPT, TIMEOUT_S, is_alive, query, restart
from tests.harness.waiting import block_until


async def test_empty_directory_becomes_a_durable_server(place: Path) -> None:
    server = EmbeddedPostgres(place / "home", BINARIES)
    server.start()
    try:
        answers = [await query(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "server_encoding")]
        assert answers == ["on", "on", "UTF8"]
        assert (server.password_file.stat().st_mode & 0o777) == 0o600
    finally:
        server.stop()
    assert not (place / "home" / "lock").exists()


async def test_loopback_connection_needs_the_password(server: EmbeddedPostgres) -> None:
    assert await query(server, "SELECT 1", tcp=True) == 1
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres", timeout=5)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn(), password="wrong", timeout=5)


async def test_ensure_database_is_idempotent(server: EmbeddedPostgres) -> None:
    await server.ensure_database('corner "shop"')
    await server.ensure_database('corner "shop"')
    assert await query(server, "SELECT current_database()", database='corner "shop"') == 'corner "shop"'


@pytest.mark.skipif(not AS_ROOT, reason="only root can change its account")
def test_root_runs_the_server_as_another_account(server: EmbeddedPostgres) -> None:
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_a_second_start_takes_a_fifth_of_a_second(home: Path) -> None:
    server = EmbeddedPostgres(home, BINARIES)
    took = []
    for _ in range(3):  # the machine may be busy: the best of three
        begun = time.monotonic()
        server.start()
        took.append(time.monotonic() - begun)
        server.stop()
    assert min(took) < 0.2


async def test_killed_server_restarts_on_its_port_with_committed_data(server: EmbeddedPostgres) -> None:
    await query(server, "CREATE TABLE kept AS SELECT 7 AS n")
    port = server.port
    os.kill(server.pid, signal.SIGKILL)
    block_until(lambda: server.poll() is not None)
    restart(server)
    assert (server.port, await query(server, "SELECT n FROM kept")) == (port, 7)


async def test_killed_backend_does_not_end_the_server(server: EmbeddedPostgres) -> None:
    pid = server.pid
    connection = await asyncpg.connect(server.dsn(), timeout=5)
    os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    connection.terminate()
    deadline = time.monotonic() + TIMEOUT_S
    while "all server processes terminated; reinitializing" not in server.log_file.read_text():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    while True:
        try:
            assert await query(server, "SELECT 1") == 1
            break
        except asyncpg.CannotConnectNowError:
            assert time.monotonic() < deadline
    assert server.pid == pid


def test_server_stops_cleanly_when_its_owner_is_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER_SCRIPT, home], stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        owner.kill()
    block_until(lambda: not is_alive(pid))
    assert "database system is shut down" in (home / "server.log").read_text()


def test_server_starts_right_after_its_owner_was_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER_SCRIPT, home], stdout=subprocess.PIPE, text=True) as owner:
        first = int(owner.stdout.readline())
        owner.kill()
    server = EmbeddedPostgres(home, BINARIES)
    server.start()
    try:
        assert not is_alive(first)
        assert is_alive(server.pid)
    finally:
        server.stop()


def test_stale_pid_file_with_a_reused_pid_does_not_block_the_start(home: Path) -> None:
    owner = (home / "data").stat()
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if AS_ROOT else {}
    with subprocess.Popen(["sleep", "60"], **account) as stranger:
        (home / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{home}/data\n1\n5432\n\n127.0.0.1\n\n\n")
        server = EmbeddedPostgres(home, BINARIES)
        try:
            server.start()
            assert stranger.poll() is None
        finally:
            server.stop()
            stranger.kill()


def test_directory_of_another_major_version_is_refused(home: Path) -> None:
    (home / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(StartError, match=r"written by PostgreSQL 14, the programs here are .*PG_BIN"):
        EmbeddedPostgres(home, BINARIES).start()
    assert not (home / "lock").exists()


def test_directory_in_use_names_its_holder(server: EmbeddedPostgres) -> None:
    with pytest.raises(LockHeldError, match=rf"in use by process {os.getpid()}:"):
        EmbeddedPostgres(server.directory, BINARIES).start()
    assert server.poll() is None


def test_two_directories_run_side_by_side(server: EmbeddedPostgres, place: Path, template: Path) -> None:
    subprocess.run(["cp", "-a", template, place / "other"], check=True)
    other = EmbeddedPostgres(place / "other", BINARIES)
    other.start()
    try:
        assert other.port != server.port
        assert other.pid != server.pid
    finally:
        other.stop()
