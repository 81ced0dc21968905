"""Run one role: an event loop, its stop signals, and one line on stderr for the operator if it can't start."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import sys
from typing import TYPE_CHECKING

import uvloop

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process import log
from autogrocery.kit.process.core_dumps import forbid_core_dumps
from autogrocery.kit.process.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


STARTED_AFTER_S = 2.0
YOUNG_OBJECTS = 20_000
MAX_FILES = 65_536


class StartError(Exception):
    """The role can't start or go on; the message tells the operator what to change."""


def run(
    role: str,
    main: Callable[[Mapping[str, str], asyncio.Event], Awaitable[None]],
    environ: Mapping[str, str],
    *,
    level: int = logging.INFO,
    freeze: bool = True,
) -> int:
    """Run `main(environ, stop)` until it returns; SIGTERM and SIGINT set `stop`. Returns 0, or 2 if it can't start.

    The process writes no core file, whose memory would hold secrets. Without `freeze` Python's garbage collector
    keeps its default settings.
    """
    forbid_core_dumps()
    _raise_file_limit()
    log.configure(role, level)

    async def under_signals() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if freeze:
            loop.call_later(STARTED_AFTER_S, _freeze_started_objects)
        await main(environ, stop)

    try:
        uvloop.run(under_signals())
    except BrokenPipeError:
        raise  # perhaps the reader of the output has gone: `run_command` looks
    except (SettingsError, StartError, Unavailable, OSError) as error:
        print(f"autogrocery {role}: {describe(error)}", file=sys.stderr)  # noqa: T201 - for a person, not for the log
        return 2
    return 0


def describe(error: Exception) -> str:
    """Return an error as text for the operator."""
    if isinstance(error, Unavailable):
        return error.detail
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    return str(error)


def _freeze_started_objects() -> None:
    """Exclude the objects made at start from garbage collection and collect the others less often.

    Requests leave few reference cycles; with Python's defaults collecting took 8 % of the gateway's CPU under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _raise_file_limit() -> None:
    """Raise the soft limit of open files, often 1,024, up to MAX_FILES or the hard limit: each connection is a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = MAX_FILES if hard == resource.RLIM_INFINITY else min(MAX_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
