"""Run one role: an event loop, its stop signals, and one line for the operator when it can't start."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

import uvloop

from autogrocery.kit import faults, log
from autogrocery.kit.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class StartError(Exception):
    """The role can't start or go on; the message tells the operator what to change."""


def run(
    role: str,
    main: Callable[[Mapping[str, str], asyncio.Event], Awaitable[None]],
    environ: Mapping[str, str],
    *,
    level: int = logging.INFO,
) -> int:
    """Run `main(environ, stop)` until it returns; SIGTERM and SIGINT set `stop`. Returns the exit code."""
    log.configure(role, level)
    faults.arm_from(environ)

    async def under_signals() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await main(environ, stop)

    try:
        uvloop.run(under_signals())
    except (SettingsError, StartError) as error:
        print(f"autogrocery {role}: {error}", file=sys.stderr)  # noqa: T201 - for a person, not for the log
        return 2
    return 0
