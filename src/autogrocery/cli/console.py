"""The console on which commands print: without markup and emoji, since names and scopes may look like them."""

from __future__ import annotations

from typing import Final

from autogrocery.lab.console import PipeConsole

PIPE_WIDTH: Final = 200  # characters a line in a file or a pipe


def console() -> PipeConsole:
    """Return a console that prints text unchanged; without a terminal, lines are PIPE_WIDTH wide."""
    found = PipeConsole(emoji=False, markup=False, highlight=False)
    if not found.is_terminal:
        found.width = PIPE_WIDTH
    return found
