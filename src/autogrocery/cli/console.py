"""How commands print tables: as they are, for names may look like markup and scopes like emoji."""

from __future__ import annotations

from typing import Final

from rich.console import Console

WIDE: Final = 200  # characters a line for whoever reads a file or a pipe


def console() -> Console:
    """Return a console that interprets nothing, and breaks lines for terminals only."""
    found = Console(emoji=False, markup=False, highlight=False)
    if not found.is_terminal:
        found.width = WIDE
    return found
