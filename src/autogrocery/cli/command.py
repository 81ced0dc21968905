"""Run one command: an error that its user can mend is one line on standard error, with exit code 2."""

from __future__ import annotations

import os
import select
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from autogrocery.kit.process.run import StartError, describe
from autogrocery.kit.process.settings import SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

READER_GONE: Final = 141  # 128 + SIGPIPE, as a shell reports a program that `| head` has ended


def run_command(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the command that `arguments.verb` names as module:function, and return its exit code."""
    module, _, verb = arguments.verb.partition(":")
    try:
        code = int(getattr(import_module(f"autogrocery.cli.{module}"), verb)(arguments, environ))
        if sys.stdout is not None:
            sys.stdout.flush()
    except (SettingsError, StartError, OSError) as error:
        code = 2
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            code = READER_GONE
        else:
            print(f"autogrocery {arguments.command}: {describe(error)}", file=sys.stderr)
        _end_output()
    return code


def _reader_is_gone() -> bool:
    """Return whether standard output has lost its reader; another pipe or socket may have broken instead."""
    if sys.stdout is None:
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _end_output() -> None:
    """Write what is still buffered, or discard it if that fails: Python would end with a traceback otherwise."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
