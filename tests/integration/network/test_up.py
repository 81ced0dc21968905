"""`up` as its own process with a real PostgreSQL, ended by each signal."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.small_network import empty_home, entries, is_alive, journal, run_file
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UP = """
import asyncio, os, sys
from pathlib import Path
from tests.harness.small_network import no_op, options, role
from autogrocery.kit.process.run import run
from autogrocery.lab.network import up
home = Path(sys.argv[1])
async def main(environ, stop):
    chosen = options(home, role(home, "first"), role(home, "second", wave=1), database="")
    await up(chosen, stop, lambda stack: print(stack.url_public, flush=True), migrate_all=no_op)
sys.exit(run("up", main, os.environ))
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with empty_home() as directory:
        yield directory


@contextmanager
def launched(home: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with subprocess.Popen([sys.executable, "-c", UP, home], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            yield process, run_file(home)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_everything_in_order(home: Path, number: signal.Signals) -> None:
    with launched(home) as (process, run):
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - begun < 10
    assert not any(map(is_alive, run["pids"].values()))
    assert entries(home) == ["logs", "postgres", "secrets.env"]
    assert journal(home)[-2:] == ["second stopped", "first stopped"]
    assert "database system is shut down" in (home / "postgres" / "server.log").read_text()


def test_sigkill_ends_every_child_and_the_next_start_works(home: Path) -> None:
    with launched(home) as (process, run):
        process.kill()
        process.wait(timeout=10)
        asyncio.run(until(lambda: not any(map(is_alive, run["pids"].values()))))
    with launched(home) as (process, run):
        assert set(run["pids"]) == {"postgresql", "first", "second"}
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_run_file_has_no_secret(home: Path) -> None:
    with launched(home) as (process, run):
        text = (home / "run.json").read_text()
        process.terminate()
        assert process.wait(timeout=10) == 0
    private = [line.partition("=")[2] for line in (home / "secrets.env").read_text().splitlines()]
    private.append((home / "postgres" / "password").read_text().strip())
    assert not any(secret in text for secret in private)
    assert run["pid"] == process.pid
    assert run["started_at"].endswith("Z")
