"""Run one role: an event loop, its stop signals, and one line for the operator when it can't start."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import sys
from typing import TYPE_CHECKING

import uvloop

from autogrocery.kit.process import faults, log
from autogrocery.kit.process.core_dumps import forbid_core_dumps
from autogrocery.kit.process.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class StartError(Exception):
    """The role can't start or go on; the message tells the operator what to change."""


STARTED_AFTER_S = 2.0
YOUNG_OBJECTS = 20_000
FILES = 65_536


def _collect_rarely() -> None:
    """Leave what a role consists of to itself, and look through the rest less often: requests leave few cycles behind.

    Collecting took 8 % of the gateway's CPU under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _open_many_files() -> None:
    """Raise the soft limit, often 1,024, to what the system allows: each connection is a file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def run(
    role: str,
    main: Callable[[Mapping[str, str], asyncio.Event], Awaitable[None]],
    environ: Mapping[str, str],
    *,
    level: int = logging.INFO,
) -> int:
    """Run `main(environ, stop)` until it returns; SIGTERM and SIGINT set `stop`. Returns the exit code.

    Nothing of its memory gets into a core file.
    """
    forbid_core_dumps()
    _open_many_files()
    log.configure(role, level)
    faults.arm_from(environ)

    async def under_signals() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.call_later(STARTED_AFTER_S, _collect_rarely)
        await main(environ, stop)

    try:
        uvloop.run(under_signals())
    except (SettingsError, StartError) as error:
        print(f"autogrocery {role}: {error}", file=sys.stderr)  # noqa: T201 - for a person, not for the log
        return 2
    return 0
