"""The pictures of the report's page: bars beside the week before, hours of a week, bars in tables.

Shapes are SVG stretched to the page; texts are HTML placed over them, so that they keep their form at every width.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autogrocery.analytics.core.report import Step

HEIGHT: Final = 100  # units of a chart; its width is GROUP units a step
GROUP: Final = 10
FEW: Final = 8  # steps of which each has its value above it
TICKS: Final = 3
HOURS: Final = 24
LABEL_EVERY_H: Final = 3


class Bar(Struct, frozen=True):
    """One step of a chart: its value, that of the week before, its label in HTML ("" is none), what it is called."""

    now: int
    before: int
    label: str
    name: str


def chart(title: str, bars: Sequence[Bar], text_of: Callable[[int], str], short_of: Callable[[int], str]) -> str:
    """Return bars of now over those of the week before; `short_of` writes the axis, `text_of` a value in full."""
    most = max((max(bar.now, bar.before) for bar in bars), default=0)
    ticks = nice_ticks(most)
    top = max(ticks[-1], most, 1)
    shapes, texts = [], []
    for tick in ticks:
        y = HEIGHT - HEIGHT * tick / top
        shapes.append(
            f'<line class="grid" x1="0" x2="{GROUP * len(bars)}" y1="{y:.2f}" y2="{y:.2f}"'
            ' vector-effect="non-scaling-stroke"></line>'
        )
        texts.append(f'<span class="y" style="bottom:{100 * tick / top:.2f}%">{short_of(tick)}</span>')
    best = max(range(len(bars)), key=lambda number: bars[number].now, default=0)
    for number, bar in enumerate(bars):
        for value, kind, at, width in ((bar.before, "before", 1.0, 8.0), (bar.now, "now", 2.4, 5.2)):
            height = HEIGHT * value / top
            when = " a week before" if kind == "before" else ""
            shapes.append(
                f'<rect class="{kind}" x="{GROUP * number + at:g}" y="{HEIGHT - height:.2f}" width="{width:g}"'
                f' height="{height:.2f}"><title>{escape(bar.name)}{when}: {text_of(value)}</title></rect>'
            )
        middle = 100 * (number + 0.5) / len(bars)
        if bar.label:
            texts.append(f'<span class="x" style="left:{middle:.2f}%">{bar.label}</span>')
        if bar.now and (len(bars) <= FEW or number == best):
            at = 100 * bar.now / top
            texts.append(f'<span class="v" style="left:{middle:.2f}%;bottom:{at:.2f}%">{short_of(bar.now)}</span>')
    return (
        f'<div class="chart"><div class="plot"><svg viewBox="0 0 {GROUP * len(bars)} {HEIGHT}"'
        f' preserveAspectRatio="none" role="img" aria-label="{escape(title)}">{"".join(shapes)}</svg>'
        f"{''.join(texts)}</div></div>"
    )


def nice_ticks(most: int) -> list[int]:
    """Return 0 and up to TICKS round numbers above it, of which the last is at least `most`; [0] for nothing."""
    if most <= 0:
        return [0]
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power * TICKS >= most:
                return list(range(0, -(-most // (step * power)) * step * power + 1, step * power))
        power *= 10


def heat_map(hours: Sequence[Step]) -> str:
    """Return the orders of each hour of several days, the busiest one framed."""
    at = [(datetime.fromtimestamp(step.started_at).astimezone(), step) for step in hours]
    dates = sorted({when.date() for when, _ in at})
    most = max((step.orders for step in hours), default=0)
    cells, frame = [], ""
    for when, step in at:
        x, y = GROUP * when.hour, GROUP * dates.index(when.date())
        place = f'x="{x + 0.4:g}" y="{y + 0.6:g}" width="9.2" height="8.8"'
        name = f"{when:%a %d %b, %H:%M}: {step.orders:,} orders"
        kind, strength = ("now", 0.1 + 0.9 * step.orders / most) if step.orders else ("none", 1)
        cells.append(f'<rect class="{kind}" {place} opacity="{strength:.2f}"><title>{name}</title></rect>')
        if step.orders == most and most and not frame:
            frame = f'<rect class="top" {place} vector-effect="non-scaling-stroke"></rect>'
    names = "".join(f"<span>{date:%a %d}</span>" for date in dates)
    labels = "".join(f"<span>{hour:02d}</span>" for hour in range(0, HOURS, LABEL_EVERY_H))
    return (
        f'<div class="heat"><div class="days">{names}</div><svg viewBox="0 0 {GROUP * HOURS} {GROUP * len(dates)}"'
        f' preserveAspectRatio="none" role="img" aria-label="Orders by hour">{"".join(cells)}{frame}</svg>'
        f'<div class="hours">{labels}</div></div>'
    )


def share_bar(value: float, most: float, kind: str = "now") -> str:
    """Return a bar of `value` on a track of `most`."""
    width = min(100 * value / most, 100) if most else 0
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"></rect><rect class="{kind}" width="{width:.2f}" height="10">'
        "</rect></svg>"
    )
