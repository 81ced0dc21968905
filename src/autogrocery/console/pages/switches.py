"""Switches: what the mart stops taking for a while, why, who did it, until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nicegui import ui
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response

from autogrocery.console.core.text import day_clock, esc, pill
from autogrocery.console.pages.shell import Console, enter
from autogrocery.contracts.ops.switches import SwitchIn

if TYPE_CHECKING:
    from autogrocery.contracts.ops.switches import SwitchesOut, SwitchOut

TURNS = {"on": "Switch on", "hour": "On for an hour", "off": "Switch off"}


def register(console: Console) -> None:
    """Add the page."""

    @ui.page("/switches")
    async def page(request: Request) -> Response | None:
        view = enter(console, request, "/switches")
        if isinstance(view, Response):
            return view
        view.frame("Switches")

        async def clicked(what: str) -> None:
            turn, _, name = what.partition("|")

            async def run(reason: str, key: str) -> str:
                until = datetime.now(UTC) + timedelta(hours=1) if turn == "hour" else None
                found = await view.api.set_switch(name, SwitchIn(turn != "off", reason, until), key)
                return f"{found.title} is {'on' if found.on else 'off'}. Every gateway obeys within a second."

            await view.confirm(TURNS[turn], name, run)

        await view.live("switches", view.api.switches, [("switches", switches)], clicked)
        return None


def switches(found: SwitchesOut) -> str:
    """Return one card for each switch."""
    return f'<h2 class="unseen">All switches</h2><div class="items">{"".join(map(_switch, found.data))}</div>'


def _switch(one: SwitchOut) -> str:
    turns = ("off",) if one.on else ("on", "hour")
    buttons = "".join(
        f'<button type="button" class="act{"" if turn == "off" else " second"}" data-act="{turn}|{esc(one.name)}"'
        f' data-key="{turn}{esc(one.name)}" aria-label="{TURNS[turn]}: {esc(one.title)}">{TURNS[turn]}</button>'
        for turn in turns
    )
    last = ""
    if one.since is not None:
        until = f", until {day_clock(one.until)}" if one.until else ""
        last = (
            f'<p class="note">{esc(one.operator or "")}, {day_clock(one.since)} UTC{until}: {esc(one.reason or "")}</p>'
        )
    return (
        f'<article class="card item"><div class="card-head"><h3>{esc(one.title)}</h3>'
        f"{pill('on' if one.on else 'off')}</div>"
        f'<p class="lead">{esc(one.words)}</p>{last}<p class="buttons">{buttons}</p></article>'
    )
