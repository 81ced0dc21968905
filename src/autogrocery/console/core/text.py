"""Values as text and HTML: every value that comes from outside passes through `esc`."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape as esc
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["age", "card", "clock", "day_clock", "duration", "empty", "esc", "money", "pill", "problem", "table", "tile"]

SECOND: Final = 1.0
MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0
GOOD: Final = frozenset({"COMPLETED", "RECEIVED", "up", "done", "live", "on sale"})
BAD: Final = frozenset({"FAILED", "down", "REJECTED", "expired", "recalled"})
BUSY: Final = frozenset({"PROCESSING", "RECEIVING", "failing", "on"})


def clock(at: datetime | None) -> str:
    """Return the time of day in UTC to the second, a dash for None."""
    return f"{at.astimezone(UTC):%H:%M:%S}" if at is not None else "\N{EN DASH}"


def day_clock(at: datetime | None) -> str:
    """Return date and time in UTC, a dash for None."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" if at is not None else "\N{EN DASH}"


def duration(seconds: float) -> str:
    """Return a duration in the unit in which it has one to three digits."""
    if seconds < SECOND:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.0f} h" if seconds < DAY else f"{seconds / DAY:.0f} d"


def age(at: datetime | None, now: datetime) -> str:
    """Return how long ago `at` was."""
    return duration(max(0.0, (now - at).total_seconds())) if at is not None else "\N{EN DASH}"


def money(cents: int | None, currency: str) -> str:
    """Return an amount with its currency; a dash for None."""
    return f"{cents / 100:,.2f} <small>{esc(currency)}</small>" if cents is not None else "\N{EN DASH}"


def pill(word: str, kind: str = "") -> str:
    """Return a status as a label: its colour repeats its word, so that no meaning is in the colour alone."""
    found = kind or ("good" if word in GOOD else "bad" if word in BAD else "busy" if word in BUSY else "")
    return f'<span class="pill {found}">{esc(word)}</span>'


def tile(title: str, value: str, note: str = "", kind: str = "") -> str:
    """Return one big figure; `value` and `note` are HTML."""
    return (
        f'<div class="tile {kind}"><p class="tile-name">{esc(title)}</p><p class="tile-value">{value}</p>'
        f'<p class="note">{note}</p></div>'
    )


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], none: str) -> str:
    """Return a table of cells in HTML; a head that begins with `#` is a column of figures. Without rows: `none`."""
    body = "".join(
        f"<tr>{''.join(f'<td{_class(name)}>{cell}</td>' for name, cell in zip(head, row, strict=True))}</tr>"
        for row in rows
    )
    if not body:
        return empty(none)
    top = "".join(f'<th scope="col"{_class(name)}>{esc(name.removeprefix("#"))}</th>' for name in head)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{esc(caption)}"><table>'
        f'<caption class="unseen">{esc(caption)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _class(name: str) -> str:
    return ' class="n"' if name.startswith("#") else ""


def card(title: str, body: str, note: str = "") -> str:
    """Return a section with a heading; `body` and `note` are HTML."""
    aside = f'<p class="note">{note}</p>' if note else ""
    return f'<section class="card"><div class="card-head"><h2>{esc(title)}</h2>{aside}</div>{body}</section>'


def empty(words: str) -> str:
    """Return what stands where there is nothing to show."""
    return f'<p class="empty"><span aria-hidden="true">\N{CHECK MARK}</span> {esc(words)}</p>'


def problem(words: str) -> str:
    """Return why something can't be shown."""
    return f'<p class="untold">{esc(words)}</p>'
