"""The mart at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response

from autogrocery.console.core.charts import stacked_bars
from autogrocery.console.core.text import age, card, clock, duration, empty, esc, pill, table, tile
from autogrocery.console.pages.shell import Console, enter

if TYPE_CHECKING:
    from autogrocery.contracts.ops.overview import Overview

STAGES = {"decide": "preview to confirm", "dispatch": "confirm to robots", "pick": "robots to end", "whole": "whole"}
LOST = ("CANCELLED", "EXPIRED", "FAILED")


def register(console: Console) -> None:
    """Add the page."""

    @ui.page("/")
    async def page(request: Request) -> Response | None:
        view = enter(console, request, "/")
        if isinstance(view, Response):
            return view
        view.frame("Overview")
        await view.live(
            "overview",
            view.api.overview,
            [("state", state), ("tiles", tiles), ("flow", flow), ("trend", trend), ("lower", lower)],
        )
        return None


def state(now: Overview) -> str:
    """Return one sentence: nothing is wrong, or what to look at."""
    broken = [one.title for one in now.tiles if not one.ok and one.value is not None]
    down = [one.name for one in now.peers if one.state != "up"]
    notes = []
    if broken:
        notes.append(f"Broken: {esc(', '.join(broken))}.")
    if down:
        notes.append(f"Not answering: {esc(', '.join(down))}.")
    if now.attention:
        notes.append(f'<a href="/attention">{now.attention} need attention</a>.')
    notes += [f'<a href="/switches">{esc(one.name)}</a> is on.' for one in now.switches]
    stamp = f'<span class="note">{esc(now.store_id)}, {clock(now.at)} UTC</span>'
    if notes:
        kind = "bad" if broken or down else "busy"
        return f'<div class="state {kind}"><p>{" ".join(notes)}</p>{stamp}</div>'
    unchecked = sum(one.value is None for one in now.tiles)
    rest = f"; {unchecked} invariants are not checked yet" if unchecked else ""
    return f'<div class="state good"><p>Nothing is wrong{rest}.</p>{stamp}</div>'


def tiles(now: Overview) -> str:
    """Return the big figures and the invariants."""
    whole = next((one for one in now.stages if one.stage == "whole"), None)
    lost = sum(now.today.get(status, 0) for status in LOST)
    figures = [
        tile("Orders a second", f"{now.orders_per_second:.1f}", "over 10 s"),
        tile(
            "In flight", f"{now.in_flight.previewed + now.in_flight.processing:,}", f"{now.in_flight.owed} owed a call"
        ),
        tile(
            "Confirm to end, p99", duration(whole.p99_s) if whole and whole.count else "\N{EN DASH}", "last 5 minutes"
        ),
        tile("Completed today", f"{now.today.get('COMPLETED', 0):,}", f"{lost:,} ended otherwise"),
        tile("Revenue today", f"{now.revenue_today_cents / 100:,.2f}", f"{esc(now.currency)}, completed orders"),
        tile("Attention", f"{now.attention:,}", "to look at", "" if not now.attention else "busy"),
    ]
    checks = [
        tile(
            one.title,
            f"{one.value:,}" if one.value is not None else "\N{EN DASH}",
            f"checked {clock(one.checked_at)}" if one.checked_at else "not checked yet",
            "" if one.value is None else "good" if one.ok else "bad",
        )
        for one in now.tiles
    ]
    return (
        f'<h2 class="unseen">Figures</h2><div class="tiles">{"".join(figures)}</div>'
        f'<h2 class="unseen">Invariants</h2><div class="tiles small">{"".join(checks)}</div>'
    )


def flow(now: Overview) -> str:
    """Return the columns through which orders pass."""
    columns = (
        ("PREVIEWED", now.in_flight.previewed, "hold stock", "c-previewed"),
        ("PROCESSING", now.in_flight.processing, "with the robots", "c-processing"),
        ("COMPLETED", now.today.get("COMPLETED", 0), "today", "c-completed"),
    )
    most = max((count for _, count, _, _ in columns), default=0) or 1
    cells = "".join(
        f'<div class="column"><svg viewBox="0 0 100 60" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{kind}" x="0" y="{60 - max(60 * count / most, 1.5 if count else 0):.1f}" width="100" rx="1"'
        f' height="{max(60 * count / most, 1.5 if count else 0):.1f}"/></svg>'
        f'<p class="tile-value">{count:,}</p><p class="tile-name">{name}</p><p class="note">{note}</p></div>'
        for name, count, note, kind in columns
    )
    return card("Orders now", f'<div class="columns">{cells}</div>')


def trend(now: Overview) -> str:
    """Return throughput by minute and latency by stage."""
    labels = [f"{one.minute:%H:%M}" for one in now.minutes]
    series = [
        ("completed", "c-completed", [float(one.completed) for one in now.minutes]),
        ("lost", "c-lost", [float(one.lost) for one in now.minutes]),
    ]
    rows = (
        (STAGES[one.stage], f"{one.count:,}", duration(one.p50_s), duration(one.p90_s), duration(one.p99_s))
        for one in now.stages
        if one.count
    )
    latency = table("Latency by stage", ("Stage", "#Orders", "#p50", "#p90", "#p99"), rows, "No order ended lately.")
    return card("Orders ended, by minute", stacked_bars("Orders ended by minute", labels, series), "last hour") + card(
        "How long it takes", latency, "last 5 minutes"
    )


def lower(now: Overview) -> str:
    """Return peers, outboxes and switches."""
    peers = table(
        "Peers",
        ("Peer", "State", "#Since", "Last error"),
        (
            (
                esc(one.name),
                pill(one.state),
                age(one.since, now.at),
                f"{esc(one.last_error)} <span class=note>{age(one.last_error_at, now.at)} ago</span>"
                if one.last_error
                else '<span class="note">none</span>',
            )
            for one in now.peers
        ),
        "No peer is known.",
    )
    boxes = table(
        "Outboxes",
        ("Outbox", "#Waiting", "#Dead", "#Oldest"),
        (
            (name, f"{box.due:,}", f"{box.dead:,}", duration(box.oldest_s) if box.due else "\N{EN DASH}")
            for name, box in (("receipts", now.outboxes.receipts), ("alerts", now.outboxes.alerts))
        ),
        "Nothing waits.",
    )
    on = "".join(
        f"<p>{pill('on')} <b>{esc(one.name)}</b>: {esc(one.reason)} ({esc(one.operator)})</p>" for one in now.switches
    )
    return card("Peers", peers) + card("Messages", boxes) + card("Switches", on or empty("Every switch is off."))
