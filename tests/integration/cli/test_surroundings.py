"""Commands in the surroundings that people have: other folders, accounts, variables, passwords, pipes."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg.connect_utils
import pytest

from autogrocery.cli.registry import password_from_stdin
from autogrocery.kit.process.interpreter import module_command
from autogrocery.kit.security.passwords import open_password_hasher
from autogrocery.lab.network import ROLES
from tests.harness.homes import temporary_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

AS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody").pw_uid
UNKNOWN_UID = 54_321
MAIN = "import sys; from autogrocery.__main__ import main; sys.exit(main(sys.argv[1:]))"
# Imports everything as root first, because another account may not be able to read the virtual environment.
AS_ACCOUNT = """
import os, sys
from importlib import import_module
from autogrocery.__main__ import main
for name in ("command", "database", "registry", "replay", "network", "doctor", "keys"):
    import_module(f"autogrocery.cli.{name}")
"x".encode("idna")
uid = int(sys.argv[1])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
sys.exit(main(sys.argv[2:]))
"""
COMMANDS = (
    ("audit",),
    ("device", "list"),
    ("order", "show", "01890000-0000-7000-8000-000000000001"),
    ("stock", "load", "--demo"),
    ("migrate", "status"),
    ("up", "--ports", "auto"),
    ("demo", "--orders", "1"),
    ("doctor",),
)


def run(*words: str, stdin: bytes = b"", cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return subprocess.run(
        [sys.executable, "-P", "-c", MAIN, *words],
        input=stdin,
        capture_output=True,
        timeout=30,
        check=False,
        cwd=cwd,
        env={**kept, "AUTOGROCERY_HOME": "/nonexistent/home", **environ},
    )


def run_as(uid: int, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", AS_ACCOUNT, str(uid), *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], **environ},
    )


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder whose files have the names of modules; each of them leaves a mark if it is imported."""
    for name in ("secrets.py", "asyncio.py", "msgspec.py", "bcrypt.py", "autogrocery/__init__.py", "site.py"):
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\nraise SystemExit(9)\n")
    return tmp_path / "folder"


def test_every_role_is_started_without_the_current_folder_in_its_search_path(trap: Path) -> None:
    for role in ROLES:
        ended = subprocess.run(
            [*role.argv, "--help"], cwd=trap, capture_output=True, text=True, check=False, timeout=30
        )
        assert (ended.returncode, f"autogrocery {role.name}" in ended.stdout) == (0, True), ended.stderr
    assert not (trap.parent / "imported").exists()


async def test_password_workers_import_nothing_from_the_current_folder(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trap)
    async with open_password_hasher(4, timeout_s=20) as passwords:
        assert await passwords.matches("a long password", await passwords.hash("a long password"))
    assert not (trap.parent / "imported").exists()


def test_pythonpath_of_the_user_counts_for_children(tmp_path: Path) -> None:
    (tmp_path / "own_module.py").write_text("print('theirs')\n")
    ended = subprocess.run(
        module_command("own_module"),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "theirs\n"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (b"correct horse battery\n", "correct horse battery"),
        (b"correct horse battery\r\n", "correct horse battery"),
        (b"correct horse battery", "correct horse battery"),
        (b" correct horse battery \n", " correct horse battery "),
        (b"correct horse battery\r\r\n", "correct horse battery\r"),
        ("größer als zwölf Bytes\n".encode(), "größer als zwölf Bytes"),
    ],
)
def test_password_on_stdin_loses_exactly_one_line_end(given: bytes, read: str, tmp_path: Path) -> None:
    (tmp_path / "stdin").write_bytes(given)
    with (tmp_path / "stdin").open() as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        assert password_from_stdin() == read


@pytest.mark.parametrize(
    "given", [b"", b"\n", b"\r\n", b"one line of it\nanother\n", b"one line of it\n\n", b"\xff" * 20]
)
@pytest.mark.parametrize("kind", ["device", "truck --supplier acme", "robot --class meat", "operator"])
def test_password_on_stdin_that_nobody_could_type_is_refused(kind: str, given: bytes) -> None:
    name, *more = kind.split()
    ended = run(name, "add", "x", *more, "--password-stdin", stdin=given, DATABASE_URL="postgresql://u@127.0.0.1:1/x")
    assert (ended.returncode != 0, ended.stdout) == (True, b"")
    assert ended.stderr.startswith(b"--password-stdin: ")
    assert ended.stderr.count(b"\n") == 1


@contextmanager
def home_of_another() -> Iterator[Path]:
    with temporary_home(on_disk=True) as place:
        home = place / "home"
        (home / "postgres").mkdir(parents=True)
        for file in (home / "run.json", home / "secrets.env", home / "postgres" / "password"):
            file.write_text('{"pid": 1, "database": {"password_file": "/nonexistent"}}')
            file.chmod(0o600)
        home.chmod(0o711)
        yield home


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another account")
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("mode", [0o711, 0o700])
def test_home_of_another_account_is_named_with_its_owner(words: tuple[str, ...], mode: int) -> None:
    with home_of_another() as home:
        home.chmod(mode)
        ended = run_as(NOBODY, *words, AUTOGROCERY_HOME=str(home))
    assert "Traceback" not in ended.stderr
    assert ended.returncode == (1 if words == ("doctor",) else 2)
    text = re.sub(r"[\s│]+", " ", ended.stdout + ended.stderr)
    assert "belongs to root: run this command as root, or set AUTOGROCERY_HOME" in text
    assert words == ("doctor",) or ended.stderr.count("\n") == 1


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another account")
@pytest.mark.parametrize("words", [("audit",), ("up", "--ports", "auto"), ("doctor",), ("replay", "--url", "http://h")])
def test_account_without_home_is_told_to_set_one(words: tuple[str, ...]) -> None:
    ended = run_as(UNKNOWN_UID, *words)
    assert "Traceback" not in ended.stderr
    assert ended.returncode in {1, 2}
    assert "set AUTOGROCERY_HOME" in re.sub(r"[\s│]+", " ", ended.stdout + ended.stderr)


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another account")
def test_account_without_name_is_told_what_initdb_needs() -> None:
    with temporary_home(on_disk=True) as place:
        os.chown(place, UNKNOWN_UID, UNKNOWN_UID)
        ended = run_as(UNKNOWN_UID, "up", "--ports", "auto", AUTOGROCERY_HOME=str(place / "home"))
    assert ended.returncode == 2
    assert re.fullmatch(r"autogrocery up: .* has no entry in /etc/passwd.*DATABASE_URL\n", ended.stderr)


@pytest.mark.skipif(not AS_ROOT or shutil.which("unshare") is None, reason="only root can mount")
def test_home_on_a_read_only_file_system_is_one_line() -> None:
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("not allowed to mount")
    with temporary_home(on_disk=True) as place:
        (place / "home" / "logs").mkdir(parents=True)
        mount = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
        ended = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, place, sys.executable, "-P", "-c", MAIN, "up", "--ports", "auto"],
            env={"PATH": os.environ["PATH"], "AUTOGROCERY_HOME": str(place / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert ended.returncode == 2
    assert re.fullmatch(r"autogrocery up: .*home can't be used \(Read-only file system\): set .*\n", ended.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_abort_no_command(closed: str, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", MAIN, "replay", "--url", "http://127.0.0.1:1"]  # its sockets are uvloop's
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        env={"PATH": os.environ["PATH"], "AUTOGROCERY_HOME": str(tmp_path)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 2
    assert b"Assertion" not in ended.stderr


def test_name_that_standard_output_can_not_encode_is_escaped(gateway_dsn: str) -> None:
    dsn = {"DATABASE_URL": gateway_dsn, "BCRYPT_COST": "10"}
    added = run("truck", "add", "t-1", "--supplier", "s-1", "--name", "Bäckerei", **dsn)
    assert added.returncode == 0, added.stderr
    listed = run("truck", "list", PYTHONIOENCODING="ascii", PYTHONUTF8="0", **dsn)
    assert (listed.returncode, b"B\\xe4ckerei" in listed.stdout) == (0, True), listed.stderr


def test_reader_that_leaves_is_no_failure_of_the_database(gateway_dsn: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed_pipe:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", MAIN, "audit"],
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": gateway_dsn},
            check=False,
            timeout=30,
        )
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_output_that_can_not_be_written_is_one_line(gateway_dsn: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", MAIN, "migrate", "status"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": gateway_dsn},
            check=False,
            timeout=30,
        )
    assert (ended.returncode, ended.stderr) == (2, b"autogrocery migrate: No space left on device\n")


def test_no_variable_of_postgres_clients_reaches_the_embedded_server(postgres: EmbeddedPostgres) -> None:
    read_by_asyncpg = set(re.findall(r"\bPG[A-Z]{3,}\b", Path(asyncpg.connect_utils.__file__).read_text()))
    assert {"PGHOST", "PGSSLMODE", "PGTARGETSESSIONATTRS", "PGGSSLIB"} <= read_by_asyncpg
    wrong = dict.fromkeys({*read_by_asyncpg, "PGOPTIONS", "PGCLIENTENCODING", "PGAPPNAME"}, "nonsense")
    ended = run("migrate", "status", DATABASE_URL=postgres.dsn(), **wrong)  # leaves this database empty
    assert ended.returncode == 0, ended.stderr
    assert run("migrate", "status", DATABASE_URL=postgres.dsn(tcp=True), **wrong).returncode == 0


def test_variables_of_postgres_clients_count_for_an_address_of_the_user(postgres: EmbeddedPostgres) -> None:
    password = postgres.password_file.read_text().strip()
    dsn = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"
    assert run("migrate", "status", DATABASE_URL=dsn, PGPASSWORD=password).returncode == 0
    assert b"password refused for user postgres" in run("migrate", "status", DATABASE_URL=dsn).stderr
