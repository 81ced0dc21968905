"""A reader that leaves in the middle of a long command is told to the shell as such, and not as a broken promise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

STEPS = {
    "progress of a replay": "from autogrocery.lab.replay.progress import show_progress\n"
    "with show_progress(1) as show: show(Counter(bought=1))",
    "progress of a proof": "from autogrocery.lab.prove.progress import live_status\n"
    "with live_status() as status: status.print_line('a line')",
    "one of several tasks": "from autogrocery.cli.console import console\n"
    "async def show(): console().print('a line')\n"
    "async with asyncio.TaskGroup() as group: group.create_task(show()); group.create_task(asyncio.sleep(60))",
}
COMMAND = """
import argparse, asyncio, os, sys, types
from collections import Counter
from autogrocery.cli.command import run_command
from autogrocery.cli.signals import run_until_signal
async def work():
{step}
    return 0
module = types.ModuleType("autogrocery.cli.shown")
module.show = lambda arguments, environ: run_until_signal("show", work())
sys.modules[module.__name__] = module
sys.exit(run_command(argparse.Namespace(verb="shown:show", command="show"), os.environ))
"""


@pytest.mark.parametrize("name", STEPS)
def test_reader_that_leaves_ends_a_long_command_with_141(name: str) -> None:
    step = "".join(f"    {line}\n" for line in STEPS[name].splitlines())
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed_pipe:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", COMMAND.format(step=step)],
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            check=False,
            timeout=30,
        )
    assert (ended.returncode, ended.stderr) == (141, b"")
