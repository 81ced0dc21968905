"""A command that runs until it is done, or until a signal ends it in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from autogrocery.kit.process import log
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Coroutine


def until_signalled(name: str, work: Coroutine[Any, Any, int]) -> int:
    """Run a command until it is done; SIGINT and SIGTERM end it in order, with exit code 130."""
    log.configure(name, logging.WARNING)  # the roles keep logs; here a person reads

    async def under_signals() -> int:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return uvloop.run(under_signals())
    except asyncio.CancelledError:
        return 130
    except (SettingsError, StartError, OSError, ValueError, msgspec.MsgspecError) as error:
        print(f"autogrocery {name}: {error}", file=sys.stderr)
        return 2
    finally:
        sys.stdout.flush()
