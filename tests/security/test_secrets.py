"""Secrets that are short are refused, guessable ones warned of; those that are good stay in memory, in files of their owner, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import resource
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from autogrocery.kit.process import settings
from autogrocery.kit.process.settings import KNOWN_SECRETS, SettingsError
from autogrocery.lab.network.home import open_secrets, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = "a-secret-of-a-test-that-is-long-enough"
DASHES = "-" * 5
GUESSABLE = {
    "one letter": "a" * 40,
    "one byte, encoded": "whsec_" + base64.b64encode(b"\0" * 32).decode(),
    "a word again and again": "changeme" * 4,
    "cut within the word": ("secret" * 10)[:33],
    "two letters": "ab" * 20,
    "an example of jwt.io": "a-string-secret-at-least-256-bits-long",
    "counted": "whsec_" + base64.b64encode(bytes(range(32))).decode(),
    "a good one and a guessable one": f"{GOOD},{'x' * 40}",
}
WEAK = {
    "31 bytes": "a-secret-of-a-test-that-is-shor",
    "empty": "",
    "blanks": " " * 40,
    "short once decoded": "whsec_" + base64.b64encode(b"x1y2z3" * 5).decode(),
    "no base64": "whsec_" + "!" * 44,
    "base64 without its padding": "whsec_" + base64.b64encode(bytes(range(7, 39))).decode().rstrip("="),
    "a good one and nothing": f"{GOOD},",
    "a public key": f"{DASHES}BEGIN PUBLIC KEY{DASHES}\n{GOOD}\n{DASHES}END PUBLIC KEY{DASHES}",
    "a public key of ssh": f"ssh-ed25519 {GOOD}",
}


@pytest.mark.parametrize("value", WEAK.values(), ids=WEAK.keys())
def test_a_weak_secret_is_refused_by_the_name_of_its_variable(value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.secrets("JWT_SECRET", value)
    assert "JWT_SECRET" in str(refused.value)
    assert not value.strip() or value not in str(refused.value)


@pytest.mark.parametrize("value", GUESSABLE.values(), ids=GUESSABLE.keys())
def test_a_guessable_secret_is_warned_of_by_the_name_of_its_variable(value: str) -> None:
    with capture_logs() as logged:
        settings.secrets("JWT_SECRET", value)
    (warned,) = logged
    assert (warned["event"], warned["log_level"], warned["setting"]) == ("secret_is_guessable", "warning", "JWT_SECRET")
    assert value not in str(warned)


@pytest.mark.parametrize("known", sorted(KNOWN_SECRETS))
def test_what_stands_in_everybodys_documentation_is_warned_of(known: bytes) -> None:
    assert len(known) >= settings.MIN_SECRET_BYTES, "too short to be taken anyway"
    with capture_logs() as logged:
        settings.secrets("WEBHOOK_SECRET", "whsec_" + base64.b64encode(known).decode())
    assert [one["event"] for one in logged] == ["secret_is_guessable"]


@pytest.mark.parametrize("value", [GOOD, "whsec_" + base64.b64encode(bytes(range(7, 39))).decode(), "x" * 31 + "y"])
def test_a_secret_that_nobody_guesses_is_taken_without_a_word(value: str) -> None:
    with capture_logs() as logged:
        assert len(settings.secrets("JWT_SECRET", value)) == 1
    assert logged == []


def test_two_secrets_that_sign_alike_count_as_one() -> None:
    key = GOOD.encode()
    with pytest.raises(SettingsError, match="B repeats a secret of A"):
        settings.all_different(A=(key,), B=(key + b"\0\0",))


def test_the_files_of_a_home_are_their_owners_only(tmp_path: Path) -> None:
    made = open_secrets(tmp_path)
    write_run(tmp_path, {"pid": 1})
    for file in ("secrets.env", "run.json"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600
    (tmp_path / "secrets.env").chmod(0o644)
    assert open_secrets(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600


def test_made_secrets_are_good_and_different(tmp_path: Path) -> None:
    made = open_secrets(tmp_path)
    settings.all_different(**{name: settings.secrets(name, value) for name, value in made.items()})
    assert len(made) >= 3


@pytest.fixture
def cores_allowed() -> Iterator[None]:
    """A machine where core dumps are on, as far as it lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


LOOK = (
    "import ctypes, resource; print(ctypes.CDLL(None).prctl(3), *resource.getrlimit(resource.RLIMIT_CORE), flush=True)"
)
ROLE = f"""
import os
from autogrocery.kit.process.run import run
async def main(environ, stop):
    {LOOK}
    os.abort()
run("role", main, {{}})
"""
WORKER = f"""
import io, sys
from autogrocery.kit.security import password_worker
sys.stdin = io.TextIOWrapper(io.BytesIO(b""))
password_worker.main()
{LOOK}
"""


@pytest.mark.usefixtures("cores_allowed")
@pytest.mark.parametrize("script", [ROLE, WORKER], ids=["a role", "a password worker"])
def test_memory_is_never_dumped_and_nobody_else_may_look_into_it(script: str, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["0", "0", "0"], ran.stderr  # PR_GET_DUMPABLE, RLIMIT_CORE soft and hard
    assert list(tmp_path.iterdir()) == []


async def test_a_command_line_never_needs_a_secret() -> None:
    """Whatever takes a password takes it from standard input or makes it; nothing has an option for one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OPTIONS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    found = out.decode().split()
    assert "--password-stdin" in found
    takes_a_value = [name for name in found if any(word in name for word in ("secret", "password", "token", "key"))]
    assert set(takes_a_value) <= {"--password-stdin"}


OPTIONS = """
import argparse
from autogrocery.__main__ import parser
def options(one):
    for action in one._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from options(inner)
print(*sorted(set(options(parser()))))
"""
