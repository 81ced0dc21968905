"""A notifier as a process of its own, with or without faults."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from autogrocery.kit.process.interpreter import module_command
from tests.harness.gateway_process import OURS, START_S
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Process = asyncio.subprocess.Process


def tail(log: Path) -> str:
    """Return a log as text."""
    return log.read_text()


async def start_notifier(dsn: str, log: Path, faults: str = "", **settings: str) -> Process:
    """Start a notifier with these environment variables only; its output is appended to `log`."""
    command = (sys.executable, "-m", "autogrocery.lab.faulty_role", "notifier") if faults else ()
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(command or module_command("autogrocery", "notifier")),
            env=OURS | {"DATABASE_URL": dsn, "AUTOGROCERY_FAULTS": faults} | settings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


@asynccontextmanager
async def running_notifier(dsn: str, log: Path, **settings: str) -> AsyncIterator[Process]:
    """Start a notifier, yield it when it has started, and stop it as SIGTERM does."""
    before = count_starts(log)
    process = await start_notifier(dsn, log, **settings)
    try:
        await until(lambda: count_starts(log) > before, START_S)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), START_S)
    assert process.returncode == 0, tail(log)


def count_starts(log: Path) -> int:
    """Return how many notifiers have started with this log."""
    return events(log).count("notifier_started") if log.exists() else 0


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the entries of a log."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def events(log: Path) -> list[str]:
    """Return the events of a log, oldest first."""
    return [line["event"] for line in lines(log)]
