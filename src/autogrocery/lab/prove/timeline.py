"""The run as an SVG timeline: a row for each process and link with its faults as bars, and counts by second below."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from autogrocery.lab.prove.measurements import by_second
from autogrocery.lab.prove.record import RECOVERY_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autogrocery.lab.prove.figures import Figures
    from autogrocery.lab.prove.measurements import Recovery
    from autogrocery.lab.prove.record import Fault

ROWS: Final = (
    "postgresql",
    "gateway-1",
    "gateway-2",
    "inventory",
    "pricing",
    "robots",
    "analytics",
    "postgresql-1",
    "postgresql-2",
    "inventory-link",
    "pricing-link",
    "public",
    "internal",
)
FIRST_LINK: Final = "postgresql-1"
LABELS: Final = {
    "postgresql-1": "gateway-1 ⇄ database",
    "postgresql-2": "gateway-2 ⇄ database",
    "inventory-link": "gateways ⇄ inventory",
    "pricing-link": "gateways ⇄ pricing",
    "public": "devices ⇄ gateways",
    "internal": "robots, webhooks ⇄ gateways",
}
WIDTH: Final = 900.0
MIN_PER_S: Final = 3.0  # pixels: the picture of a long run scrolls
ROW_HEIGHT: Final = 22.0
BAR: Final = 12.0
GAP: Final = 14.0  # between the rows of processes and of links
CHART: Final = 74.0
AXIS: Final = 20.0
MIN_BAR: Final = 2.5
TICKS: Final = (5, 10, 30, 60, 120, 300)
MAX_TICKS: Final = 14
SAMPLES: Final = ("orders completed a second", "2xx responses a second", "unanswered GETs a second")


def height() -> float:
    """Return the height of labels and picture in pixels."""
    return _chart_top(len(SAMPLES))


def per_s(figures: Figures) -> float:
    """Return the width of one second in pixels."""
    return max(MIN_PER_S, WIDTH / max(figures.duration_s, 1.0))


def labels() -> str:
    """Return the row labels as an SVG, shown beside the picture."""
    rows = [_text(0, _row_middle(row) + 4, LABELS.get(row, row)) for row in ROWS]
    rows += [_text(0, _chart_top(number) + 14, name) for number, name in enumerate(SAMPLES)]
    return f'<svg width="190" height="{height():g}" role="presentation">{"".join(rows)}</svg>'


def picture(figures: Figures) -> str:
    """Return the timeline as one SVG."""
    scale = per_s(figures)
    width = figures.duration_s * scale + 10
    in_order = sorted(
        figures.faults, key=lambda fault: fault.kind != "pause"
    )  # a kill during a pause is drawn above it
    parts = [
        *_grid(figures.duration_s, scale),
        *(part for fault in in_order for part in _bars(fault, figures.recovered, figures.duration_s, scale)),
        _columns(figures.orders.ended_by_second, 0, scale, "good"),
        _columns(figures.orders.responses_by_second, 1, scale, "plain"),
        _columns(by_second(figures.failed_probes_s, figures.duration_s), 2, scale, "bad"),
    ]
    return (
        f'<svg width="{width:.0f}" height="{height():g}" role="img" aria-label="timeline of faults and recoveries">'
        f"{''.join(parts)}</svg>"
    )


def dot_plot(times_s: Sequence[float], most_s: float) -> str:
    """Return recovery times as dots on a line from 0 to `most_s`, as an SVG."""
    dots = "".join(
        f'<circle cx="{4 + 112 * took / max(most_s, 0.001):.1f}" cy="8" r="3"><title>{took:.2f} s</title></circle>'
        for took in times_s
    )
    return f'<svg class="dots" width="120" height="16"><line x1="4" x2="116" y1="8" y2="8"/>{dots}</svg>'


def _grid(duration_s: float, scale: float) -> Iterator[str]:
    every = next((tick for tick in TICKS if duration_s / tick <= max(MAX_TICKS, duration_s * scale / 90)), TICKS[-1])
    bottom = height() - AXIS
    for row in ROWS:
        y = _row_middle(row)
        yield f'<line class="row" x1="0" x2="{duration_s * scale:.1f}" y1="{y:g}" y2="{y:g}"/>'
    for at_s in range(0, int(duration_s) + 1, every):
        x = at_s * scale
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom:g}"/>'
        yield _text(x + 2, height() - 5, f"{at_s // 60}:{at_s % 60:02d}", "tick")


def _bars(fault: Fault, recovered: Sequence[Recovery], duration_s: float, scale: float) -> Iterator[str]:
    """Draw a fault as a bar, followed by a paler one until the first success after it."""
    ended_s = duration_s if fault.ended_s is None else fault.ended_s
    y = _row_middle(fault.target) - BAR / 2
    step = RECOVERY_STEPS[fault.target][0]
    recovery = next(
        (one for one in recovered if (one.target, one.ended_s, one.step) == (fault.target, fault.ended_s, step)), None
    )
    title = f"{fault.target}: {fault.how} at {fault.began_s:.1f} s for {ended_s - fault.began_s:.1f} s"
    if recovery is not None and recovery.took_s is not None:
        title += f", first {step} {recovery.took_s:.2f} s later"
        yield (
            f'<rect class="{fault.kind} recovery" x="{ended_s * scale:.1f}" y="{y + 2:g}" rx="2"'
            f' width="{recovery.took_s * scale:.1f}" height="{BAR - 4:g}"><title>{escape(title)}</title></rect>'
        )
    yield (
        f'<rect class="{fault.kind}" x="{fault.began_s * scale:.1f}" y="{y:g}" rx="2"'
        f' width="{max(MIN_BAR, (ended_s - fault.began_s) * scale):.1f}" height="{BAR:g}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _columns(counts: Sequence[int], number: int, scale: float, kind: str) -> str:
    """Draw counts by second as columns, labelled with their maximum."""
    top, highest = _chart_top(number) + 20, max([1, *counts])
    height_px = CHART - 26
    columns = "".join(
        f'<rect x="{second * scale:.1f}" width="{max(1.0, scale - 1):.1f}"'
        f' y="{top + height_px * (1 - count / highest):.1f}"'
        f' height="{height_px * count / highest:.1f}"><title>{second} s: {count}</title></rect>'
        for second, count in enumerate(counts)
        if count
    )
    base = (
        f'<line class="row" x1="0" x2="{len(counts) * scale:.1f}" y1="{top + height_px:g}" y2="{top + height_px:g}"/>'
    )
    return f'<g class="{kind}">{columns}</g>{base}{_text(2, top - 4, f"max {max(counts, default=0)}", "tick")}'


def _row_middle(row: str) -> float:
    place = ROWS.index(row)
    return ROW_HEIGHT / 2 + place * ROW_HEIGHT + (GAP if place >= ROWS.index(FIRST_LINK) else 0)


def _chart_top(number: int) -> float:
    rest = AXIS if number == len(SAMPLES) else 0
    return len(ROWS) * ROW_HEIGHT + 2 * GAP + number * CHART + rest


def _text(x: float, y: float, text: str, kind: str = "name") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:g}">{escape(text)}</text>'
