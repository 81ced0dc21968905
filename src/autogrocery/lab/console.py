"""The console of reports and commands: a closed pipe is told to the caller."""

from __future__ import annotations

from rich.console import Console


class PipeConsole(Console):
    """rich's console, which raises BrokenPipeError when the reader of its output has gone."""

    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to the caller, who ends the command with an exit code of its own: rich's is 1."""
        raise BrokenPipeError
