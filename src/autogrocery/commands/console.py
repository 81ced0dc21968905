"""How commands print tables: as they are, for names may look like markup and scopes like emoji."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """Return a console that interprets nothing."""
    return Console(emoji=False, markup=False, highlight=False)
