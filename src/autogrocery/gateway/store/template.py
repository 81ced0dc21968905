"""SQL templates: one text with named markers for statements that differ in a table, a condition or a clause."""

from __future__ import annotations

from string import Formatter


def fill(template: str, **parts: str) -> str:
    """Replace each `{marker}` by its part; raises ValueError unless the markers are exactly the parts' names."""
    markers = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    if markers != parts.keys():
        raise ValueError(f"an SQL template has the markers {sorted(markers)}, but the parts are {sorted(parts)}")
    return template.format(**parts)
