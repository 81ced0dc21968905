"""Command lines of Python child processes that import nothing from the folder in which they are started."""

from __future__ import annotations

import sys


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs `module`. `-P` leaves the current folder out of the search path.

    Without it a file `secrets.py` in the folder where the parent is started would be imported instead of Python's.
    PYTHONPATH counts as it does for the parent.
    """
    return (sys.executable, "-P", "-m", module, *arguments)
