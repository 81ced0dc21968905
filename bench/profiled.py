"""Runs a role under cProfile: SIGUSR1 starts the profile, SIGUSR2 ends it and writes it to the given file."""

from __future__ import annotations

import asyncio
import cProfile
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from autogrocery.kit.process.run import run

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLE, FILE = sys.argv[1:]


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Install the signal handlers and run the role's main."""
    profile = cProfile.Profile()
    loop = asyncio.get_running_loop()

    def write() -> None:
        profile.disable()
        profile.dump_stats(f"{FILE}.part")
        os.replace(f"{FILE}.part", FILE)  # noqa: PTH105 - atomic

    loop.add_signal_handler(signal.SIGUSR1, profile.enable)
    loop.add_signal_handler(signal.SIGUSR2, write)
    await import_module(f"autogrocery.{ROLE}.app").main(environ, stop)


if __name__ == "__main__":
    sys.exit(run(ROLE, main, os.environ))
