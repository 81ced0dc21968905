"""Small roles for tests of the supervisor; they append their start, readiness and stop to a journal."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogrocery.lab.network import Options, Role
from tests.harness.homes import temporary_home

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 20.0
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"  # never connected to: these roles need no database
BODY = """
import os, signal, sys, time
from autogrocery.kit.process.ready import notify
def note(what):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{os.environ['NAME']} {what}\\n")
def leave(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("started")
"""
SERVES = "note('ready'); notify()\nwhile True: signal.pause()"
IGNORES_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN); notify()\nwhile True: signal.pause()"
NEVER_READY = "while True: signal.pause()"
FAILS_BEFORE_READY = "print('no such table: socks', file=sys.stderr); sys.exit(3)"
FAILS_AFTER_READY = "notify(); print('out of socks', file=sys.stderr); sys.exit(4)"


@contextmanager
def empty_home() -> Iterator[Path]:
    """Yield a home that PostgreSQL's account can enter, unlike pytest's directories."""
    with temporary_home() as directory:
        yield directory / "home"


def role(
    home: Path,
    name: str,
    script: str = SERVES,
    *,
    wave: int = 0,
    private_env: tuple[str, ...] = (),
    deadline_s: float = 10,
) -> Role:
    env = {"NAME": name, "JOURNAL": str(home.parent / "journal")}
    argv = (sys.executable, "-c", BODY + script)
    return Role(name=name, argv=argv, env=env, wave=wave, private_env=private_env, ready_deadline_s=deadline_s)


def options(home: Path, *roles: Role, database: str = NO_DATABASE, auto: bool = True, **environ: str) -> Options:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    kept |= {"AUTOGROCERY_HOME": str(home)}
    kept |= {"DATABASE_URL": database} if database else {}
    return Options(home=home, environ=kept | environ, auto_ports=auto, roles=roles)


def journal(home: Path) -> list[str]:
    file = home.parent / "journal"
    return file.read_text().splitlines() if file.exists() else []


def entries(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def run_file(home: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((home / "run.json").read_text())
    return run


async def no_op(*_: object) -> None:
    """Stand in for migrations, provisioning and stocking."""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
