"""Bar charts as SVG, without a library. The colours also differ in lightness, for print."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMESPACE = "http://www.w3.org/2000/svg"
WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 58, 46
COLOURS = ("#2a6fb0", "#e09f3e", "#3f8f5f", "#9e4a63", "#7a7f87", "#6a51a3", "#b5a642", "#1b9aaa", "#c44900", "#444444")
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
GRID_LINES = 5  # about
STYLE = "text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.grid{stroke:#ddd}"


class Group(Struct, frozen=True):
    """A group of bars: a label, and the value of each series; None leaves a gap."""

    label: str
    values: tuple[float | None, ...]


class Chart(Struct, frozen=True):
    """A bar chart; the bars of a group are side by side, or `stacked`."""

    title: str
    series: tuple[str, ...]
    groups: list[Group]
    stacked: bool = False


def draw(chart: Chart) -> str:
    """Return the SVG document."""
    tops = [
        sum(v or 0.0 for v in one.values) if chart.stacked else max(v or 0.0 for v in one.values)
        for one in chart.groups
    ]
    step = step_for(max(tops, default=1.0) or 1.0)
    most = step * -(-max(tops, default=step) // step)
    parts = [
        f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text class="title" x="{LEFT}" y="22">{escape(chart.title)}</text>',
        *legend(chart.series),
        *grid(step, most),
        *bars(chart, most),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def step_for(top: float) -> float:
    """Return a round distance between grid lines, for a largest value of `top`."""
    rough = top / GRID_LINES
    power = 10.0 ** len(str(int(rough))) / 10.0 if rough >= 1.0 else 0.1
    return next(power * step for step in STEPS if power * step >= rough)


def height_of(value: float, most: float) -> float:
    """Return the height of a value in pixels; `most` has the full height."""
    return value / most * (HEIGHT - TOP - BOTTOM)


def legend(series: Sequence[str]) -> Iterator[str]:
    """Yield the names of the series with their colours."""
    x = LEFT
    for name, colour in zip(series, COLOURS, strict=False):
        yield (
            f'<rect x="{x}" y="32" width="12" height="12" fill="{colour}"/>'
            f'<text x="{x + 17}" y="42">{escape(name)}</text>'
        )
        x += 34 + 7 * len(name)


def grid(step: float, most: float) -> Iterator[str]:
    """Yield horizontal lines with their values."""
    value = 0.0
    while value <= most + step / 2:
        y = HEIGHT - BOTTOM - height_of(value, most)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        label = f"{value:,.0f}" if step >= 1 else f"{value:.1f}"
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        value += step


def bars(chart: Chart, most: float) -> Iterator[str]:
    """Yield the bars, each with its value as a tooltip, and the labels below them."""
    group_width = (WIDTH - LEFT - RIGHT) / max(1, len(chart.groups))
    across = 1 if chart.stacked else len(chart.series)
    width = min(56.0, group_width * 0.8 / across)
    for number, group in enumerate(chart.groups):
        middle = LEFT + group_width * (number + 0.5)
        base = HEIGHT - BOTTOM + 0.0
        for place, (name, value) in enumerate(zip(chart.series, group.values, strict=True)):
            if not value:
                continue
            high = height_of(value, most)
            x = middle - width * across / 2 + (0 if chart.stacked else place * width)
            top = base - high
            yield (
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{width - 2:.1f}" height="{high:.1f}" fill="{COLOURS[place]}">'
                f"<title>{escape(group.label)}, {escape(name)}: {value:,.1f}</title></rect>"
            )
            base = top if chart.stacked else base
        yield f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(group.label)}</text>'
