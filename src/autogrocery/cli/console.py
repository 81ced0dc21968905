"""The console on which commands print: without markup and emoji, since names and scopes may look like them."""

from __future__ import annotations

from typing import Final

from rich.console import Console

PIPE_WIDTH: Final = 200  # characters a line in a file or a pipe


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to the caller, who ends the command with an exit code of its own: rich's is 1."""
        raise BrokenPipeError


def console() -> Console:
    """Return a console that prints text unchanged; without a terminal, lines are PIPE_WIDTH wide."""
    found = _Console(emoji=False, markup=False, highlight=False)
    if not found.is_terminal:
        found.width = PIPE_WIDTH
    return found
