"""What is stuck, why, and the one thing that is safe to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response

from autogrocery.console.core.text import card, day_clock, empty, esc, pill, table
from autogrocery.console.pages.acting import GROUPS, act_on
from autogrocery.console.pages.shell import Console, enter

if TYPE_CHECKING:
    from autogrocery.contracts.ops.actions import DeadLettersOut
    from autogrocery.contracts.ops.attention import AttentionItem, AttentionOut
    from autogrocery.contracts.ops.audit_log import AuditLogOut

PLACES = {"order": "/orders/", "restock": "/trucks?q="}


def register(console: Console) -> None:
    """Add the page."""

    @ui.page("/attention")
    async def page(request: Request) -> Response | None:
        view = enter(console, request, "/attention")
        if isinstance(view, Response):
            return view
        view.frame("Attention")

        async def clicked(what: str) -> None:
            kind, target, action = what.split("|")
            await act_on(view, kind, target, action)

        await view.live("attention", view.api.attention, [("items", items)], clicked)
        await view.live("dead-letters", view.api.dead_letters, [("letters", letters)], clicked)
        await view.live("audit-log", view.api.audit_log, [("log", log)])
        return None


def items(found: AttentionOut) -> str:
    """Return one card for each thing to look at."""
    if not found.data:
        return card("To look at", empty("Nothing is wrong: no order, delivery, message or peer needs a person."))
    cut = f"the first {len(found.data)} of {found.total}" if found.total > len(found.data) else f"{found.total}"
    return f'<h2>To look at: {cut}</h2><div class="items">{"".join(map(_item, found.data))}</div>'


def _item(one: AttentionItem) -> str:
    place = PLACES.get(one.kind)
    name = f'<a href="{place}{esc(one.id)}"><code>{esc(one.id)}</code></a>' if place else f"<b>{esc(one.id)}</b>"
    buttons = "".join(
        f'<button type="button" class="act{" second" if number else ""}"'
        f' data-act="{one.kind}|{esc(one.id)}|{esc(act.name)}"'
        f' data-key="{esc(one.id)}{esc(act.name)}" aria-label="{esc(act.title)}: {one.kind} {esc(one.id)}">'
        f"{esc(act.title)}</button>"
        for number, act in enumerate(one.actions)
        if one.kind in GROUPS
    )
    hint = f'<p class="note">{esc(one.actions[0].words)}</p>' if one.actions else ""
    return (
        f'<article class="card item"><p class="facts">{pill(one.kind, "busy")} {name}'
        f"<span>since {day_clock(one.since)} UTC</span><span><code>{esc(one.cause)}</code></span></p>"
        f'<p class="lead">{esc(one.words)}</p>{hint}<p class="buttons">{buttons}</p></article>'
    )


def letters(found: DeadLettersOut) -> str:
    """Return receipts and alerts that were given up."""
    rows = (
        (
            pill(one.kind.removesuffix("s"), "busy"),
            f'<a href="/orders/{one.id}"><code>{str(one.id)[:8]}</code></a>',
            esc(one.device_id),
            f"{one.attempts}",
            esc(one.last_error or "\N{EN DASH}"),
            (
                f'<button type="button" class="act second" data-act="{one.kind.removesuffix("s")}|{one.id}|replay"'
                f' data-key="{one.kind}{one.id}" aria-label="Send again: {one.kind} {one.id}">Send again</button>'
            ),
        )
        for one in found.data
    )
    head = ("Kind", "Order", "Device", "#Attempts", "Last error", "Action")
    return card("Dead letters", table("Dead letters", head, rows, "Every receipt and alert was sent or waits."))


def log(found: AuditLogOut) -> str:
    """Return what operators did."""
    rows = (
        (day_clock(one.at), esc(one.operator), esc(one.action), esc(one.target), esc(one.reason), esc(one.outcome))
        for one in found.data[:20]
    )
    head = ("At (UTC)", "Operator", "Action", "Target", "Reason", "Outcome")
    return card("What operators did", table("Audit log", head, rows, "No operator has changed anything."))
