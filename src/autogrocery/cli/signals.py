"""Run a command's coroutine, with an orderly end on SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process import log
from autogrocery.kit.process.run import StartError, describe
from autogrocery.kit.process.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run_until_signal(name: str, work: Coroutine[Any, Any, int]) -> int:
    """Run a command and return its exit code; SIGINT and SIGTERM cancel it (130), an expected error ends it with 2."""
    log.configure(name, logging.WARNING)  # the roles write logs; a person reads this output

    async def cancel_on_signal() -> int:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return uvloop.run(cancel_on_signal())
    except asyncio.CancelledError:
        return 130
    except BrokenPipeError:
        raise  # the reader of the output has gone
    except BaseExceptionGroup as group:
        if group.subgroup(BrokenPipeError) is None:
            raise
        raise BrokenPipeError from None  # in one of several tasks
    except (SettingsError, StartError, Unavailable, OSError, ValueError, msgspec.MsgspecError) as error:
        print(f"autogrocery {name}: {describe(error)}", file=sys.stderr)
        return 2
