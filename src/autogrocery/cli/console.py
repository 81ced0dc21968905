"""The console on which commands print: without markup and emoji, since names and scopes may look like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.lab.console import PipeConsole

if TYPE_CHECKING:
    from rich.table import Table

PIPE_WIDTH: Final = 200  # characters a line in a file or a pipe


def show(rows: object, table: Table, *, as_json: bool) -> None:
    """Print rows as JSON, one document, or as a table whose ids are wrapped, not cut, so that they can be copied."""
    if as_json:
        print(msgspec.json.encode(rows).decode())
        return
    for column in table.columns:
        column.overflow = "fold"
    console().print(table)


def console() -> PipeConsole:
    """Return a console that prints text unchanged; without a terminal, lines are PIPE_WIDTH wide."""
    found = PipeConsole(emoji=False, markup=False, highlight=False)
    if not found.is_terminal:
        found.width = PIPE_WIDTH
    return found
