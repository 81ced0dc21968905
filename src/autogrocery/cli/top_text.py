"""The figures of `autogrocery top` in a terminal: the same as on the status page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from autogrocery.contracts.ops.overview import PeerOut
    from autogrocery.contracts.ops.status import Figures

EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
STYLES: Final = {"up": "green", "failing": "yellow", "down": "red"}
SECONDS_UP_TO: Final = 120


def screen(figures: Figures | None, notice: str) -> RenderableType:
    """Return the screen; `notice` stands above figures that may be old, and alone before the first."""
    lines: list[RenderableType] = [Text(notice, style="bold yellow")] if notice else []
    if figures is None:
        return Group(*lines)
    away = figures.database != "up"
    title = Text.assemble(
        ("Ordering gateway ", "bold"), figures.store_id, f"  {figures.at:%H:%M:%S} UTC  ", style="default"
    )
    title.append("database away: no order is taken" if away else "live", style="red" if away else "green")
    lines.append(title)
    if figures.switches:
        lines.append(Text(f"Switched on: {', '.join(figures.switches)}", style="yellow"))
    if not away:
        lines += [_numbers(figures), _tiles(figures), _minutes(figures)]
        lines.append(Columns([_stages(figures), _outboxes(figures)], padding=(0, 4)))
    lines.append(_peers(figures.peers))
    return Group(*lines)


def sparkline(counts: Sequence[int]) -> str:
    """Return one character for each count, its height in proportion to the highest."""
    most = max(counts, default=0) or 1
    steps = len(EIGHTHS) - 1
    return "".join(EIGHTHS[-(-count * steps // most)] for count in counts)


def duration(seconds: float) -> str:
    """Return a duration as a person reads it."""
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < SECONDS_UP_TO else f"{seconds / 60:.0f} min"


def _numbers(figures: Figures) -> RenderableType:
    flying = figures.in_flight
    counts = (
        []
        if flying is None
        else [
            (flying.previewed, "previewed", ""),
            (flying.processing, "processing", ""),
            (flying.owed, "calls owed", "yellow"),
            (flying.restocks, "restocks", ""),
        ]
    )
    found = Text(f"{figures.orders_per_second or 0:.1f} orders/s", style="bold")
    for count, name, alarm in (*counts, (figures.attention or 0, "need attention", "red")):
        found.append(f"   {count:,} ", style=alarm if count and alarm else "bold").append(name, style="default")
    return found


def _tiles(figures: Figures) -> RenderableType:
    return Columns(
        [
            Panel(
                Text("…" if tile.value is None else f"{tile.value:,}", style="green bold" if tile.ok else "red bold"),
                title=tile.title,
                style="dim" if tile.value is None else "",
            )
            for tile in figures.tiles
        ]
    )


def _minutes(figures: Figures) -> RenderableType:
    done = [one.completed for one in figures.minutes]
    lost = sum(one.lost for one in figures.minutes)
    return Text.assemble(
        (sparkline(done), "green"),
        f"  completed by minute, last hour: {sum(done):,}, most {max(done, default=0):,}; lost {lost:,}",
    )


def _stages(figures: Figures) -> Table:
    table = _table("Stage, 5 min", "p50", "p99", "orders")
    for one in figures.stages:
        table.add_row(one.stage, duration(one.p50_s), duration(one.p99_s), f"{one.count:,}")
    return table


def _outboxes(figures: Figures) -> Table:
    table = _table("Outbox", "due", "oldest", "dead")
    boxes = figures.outboxes
    for name, one in () if boxes is None else (("receipts", boxes.receipts), ("alerts", boxes.alerts)):
        dead = Text(f"{one.dead:,}", style="red" if one.dead else "")
        table.add_row(name, f"{one.due:,}", duration(one.oldest_s) if one.due else "", dead)
    return table


def _peers(peers: Sequence[PeerOut]) -> Table:
    table = _table("Peer", "state", "breaker", "since", "rejected replies", "last error")
    for one in peers:
        state = Text(one.state, style=STYLES[one.state])
        error = one.last_error or "" if one.state != "up" else ""
        table.add_row(one.name, state, one.breaker, f"{one.since:%H:%M:%S}", f"{one.rejected_replies:,}", error)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
