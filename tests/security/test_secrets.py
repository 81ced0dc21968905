"""Short secrets are refused, guessable ones logged as a warning.

Strong ones stay in memory and in private files only.
"""

from __future__ import annotations

import asyncio
import base64
import resource
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.kit.process import log, settings
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
def test_weak_secret_raises_naming_the_variable(value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.secrets("JWT_SECRET", value)
    assert "JWT_SECRET" in str(refused.value)
    assert not value.strip() or value not in str(refused.value)


@pytest.mark.parametrize("value", GUESSABLE.values(), ids=GUESSABLE.keys())
def test_guessable_secret_logs_a_warning_naming_the_variable(value: str) -> None:
    logged: list[Any] = []
    with log.capture(lambda *entry: logged.append(entry)):
        settings.secrets("JWT_SECRET", value)
    ((level, event, fields),) = logged
    assert (event, level, fields["setting"]) == ("secret_is_guessable", "warning", "JWT_SECRET")
    assert value not in str(fields)


@pytest.mark.parametrize("known", sorted(KNOWN_SECRETS))
def test_secret_from_public_documentation_logs_a_warning(known: bytes) -> None:
    assert len(known) >= settings.MIN_SECRET_BYTES, "too short: it is refused anyway"
    logged: list[str] = []
    with log.capture(lambda _level, event, _fields: logged.append(event)):
        settings.secrets("WEBHOOK_SECRET", "whsec_" + base64.b64encode(known).decode())
    assert logged == ["secret_is_guessable"]


@pytest.mark.parametrize("value", [GOOD, "whsec_" + base64.b64encode(bytes(range(7, 39))).decode(), "x" * 31 + "y"])
def test_strong_secret_is_accepted_without_a_warning(value: str) -> None:
    logged: list[str] = []
    with log.capture(lambda _level, event, _fields: logged.append(event)):
        assert len(settings.secrets("JWT_SECRET", value)) == 1
    assert logged == []


def test_secrets_that_differ_in_trailing_nuls_count_as_equal() -> None:
    key = GOOD.encode()
    with pytest.raises(SettingsError, match="B repeats a secret of A"):
        settings.all_different(A=(key,), B=(key + b"\0\0",))


def test_home_files_have_mode_0600(tmp_path: Path) -> None:
    made = open_secrets(tmp_path)
    write_run(tmp_path, {"pid": 1})
    for file in ("secrets.env", "run.json"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600
    (tmp_path / "secrets.env").chmod(0o644)
    assert open_secrets(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600


def test_generated_secrets_are_strong_and_different(tmp_path: Path) -> None:
    made = open_secrets(tmp_path)
    settings.all_different(**{name: settings.secrets(name, value) for name, value in made.items()})
    assert len(made) >= 3


@pytest.fixture
def cores_allowed() -> Iterator[None]:
    """Enable core dumps up to this machine's hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


PRINT_LIMITS = (
    "import ctypes, resource; print(ctypes.CDLL(None).prctl(3), *resource.getrlimit(resource.RLIMIT_CORE), flush=True)"
)
ROLE = f"""
import os
from autogrocery.kit.process.run import run
async def main(environ, stop):
    {PRINT_LIMITS}
    os.abort()
run("role", main, {{}})
"""
WORKER = f"""
import io, sys
from autogrocery.kit.security import password_worker
sys.stdin = io.TextIOWrapper(io.BytesIO(b""))
password_worker.main()
{PRINT_LIMITS}
"""


@pytest.mark.usefixtures("cores_allowed")
@pytest.mark.parametrize("script", [ROLE, WORKER], ids=["a role", "a password worker"])
def test_process_is_not_dumpable_and_leaves_no_core_file(script: str, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["0", "0", "0"], ran.stderr  # PR_GET_DUMPABLE, RLIMIT_CORE soft and hard
    assert list(tmp_path.iterdir()) == []


async def test_no_command_line_option_takes_a_secret() -> None:
    """Commands read a password from standard input or generate it; none has an option for one."""
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
