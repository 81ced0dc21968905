"""How Python child processes are started: they import nothing from the current folder, and inherit no secret."""

from __future__ import annotations

import os
import sys
from typing import Final

INHERITED: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")  # without them a child may not start


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs `module`. `-P` leaves the current folder out of the search path.

    Without it a file `secrets.py` in the folder where the parent is started would be imported instead of Python's.
    PYTHONPATH counts as it does for the parent.
    """
    return (sys.executable, "-P", "-m", module, *arguments)


def inherited_environ() -> dict[str, str]:
    """Return the variables of this process that a child needs to start, and no settings."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}
