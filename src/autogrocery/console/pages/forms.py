"""Search forms: plain HTML, sent as the query of the page's address, so that a search can be kept and passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.console.core.text import esc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def search_form(path: str, *fields: str) -> str:
    """Return a form of `fields` that asks for the page at `path`."""
    return (
        f'<form class="search" method="get" action="{path}" role="search">{"".join(fields)}'
        f'<button class="act">Search</button><a class="quiet" href="{path}">Clear</a></form>'
    )


def field(name: str, label: str, asked: Mapping[str, str], kind: str = "text", hint: str = "") -> str:
    """Return a labelled input with the value that was asked for."""
    return (
        f'<label>{esc(label)}<input name="{name}" type="{kind}" value="{esc(asked.get(name, ""))}"'
        f' placeholder="{esc(hint)}" data-key="{name}" maxlength="200"></label>'
    )


def select_field(name: str, label: str, asked: Mapping[str, str], choices: Sequence[str]) -> str:
    """Return a labelled choice; the empty one means any."""
    options = "".join(
        f'<option value="{esc(one)}"{" selected" if asked.get(name, "") == one else ""}>{esc(one or "any")}</option>'
        for one in choices
    )
    return f'<label>{esc(label)}<select name="{name}" data-key="{name}">{options}</select></label>'
