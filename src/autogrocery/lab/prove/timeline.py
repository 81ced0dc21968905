"""The run as a picture: a lane for each process and link with every fault as a bar, and what went on meanwhile below."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from autogrocery.lab.prove.arithmetic import by_second
from autogrocery.lab.prove.record import STEPS_OF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from autogrocery.lab.prove.arithmetic import Recovery
    from autogrocery.lab.prove.figures import Figures
    from autogrocery.lab.prove.record import Fault

LANES: Final = (
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
LEAST_PER_S: Final = 3.0  # pixels: a long run is scrolled
LANE: Final = 22.0
BAR: Final = 12.0
GAP: Final = 14.0  # between processes and links
CHART: Final = 74.0
AXIS: Final = 20.0
LEAST_BAR: Final = 2.5
TICKS: Final = (5, 10, 30, 60, 120, 300)
MOST_TICKS: Final = 14
SAMPLES: Final = ("orders completed a second", "answers to devices a second", "GETs not answered a second")


def height() -> float:
    """Return how high labels and picture are."""
    return _chart_top(len(SAMPLES))


def per_s(figures: Figures) -> float:
    """Return how many pixels a second takes."""
    return max(LEAST_PER_S, WIDTH / max(figures.lasts_s, 1.0))


def labels() -> str:
    """Return the column of names that stands beside the picture."""
    rows = [_text(0, _middle(lane) + 4, LABELS.get(lane, lane)) for lane in LANES]
    rows += [_text(0, _chart_top(number) + 14, name) for number, name in enumerate(SAMPLES)]
    return f'<svg width="190" height="{height():g}" role="presentation">{"".join(rows)}</svg>'


def picture(figures: Figures) -> str:
    """Return the timeline as one SVG."""
    scale = per_s(figures)
    width = figures.lasts_s * scale + 10
    in_order = sorted(figures.faults, key=lambda fault: fault.kind != "pause")  # a death in a pause lies above it
    parts = [
        *_grid(figures.lasts_s, scale),
        *(part for fault in in_order for part in _bars(fault, figures.recovered, figures.lasts_s, scale)),
        _columns(figures.orders.ended_by_second, 0, scale, "good"),
        _columns(figures.orders.told_by_second, 1, scale, "plain"),
        _columns(by_second(figures.failed_looks_s, figures.lasts_s), 2, scale, "bad"),
    ]
    return (
        f'<svg width="{width:.0f}" height="{height():g}" role="img" aria-label="timeline of faults and recoveries">'
        f"{''.join(parts)}</svg>"
    )


def strip(times_s: Sequence[float], most_s: float) -> str:
    """Return recovery times as dots on a line from 0 to `most_s`."""
    dots = "".join(
        f'<circle cx="{4 + 112 * took / max(most_s, 0.001):.1f}" cy="8" r="3"><title>{took:.2f} s</title></circle>'
        for took in times_s
    )
    return f'<svg class="strip" width="120" height="16"><line x1="4" x2="116" y1="8" y2="8"/>{dots}</svg>'


def _grid(lasts_s: float, scale: float) -> Iterator[str]:
    every = next((tick for tick in TICKS if lasts_s / tick <= max(MOST_TICKS, lasts_s * scale / 90)), TICKS[-1])
    bottom = height() - AXIS
    for lane in LANES:
        yield f'<line class="lane" x1="0" x2="{lasts_s * scale:.1f}" y1="{_middle(lane):g}" y2="{_middle(lane):g}"/>'
    for at_s in range(0, int(lasts_s) + 1, every):
        x = at_s * scale
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom:g}"/>'
        yield _text(x + 2, height() - 5, f"{at_s // 60}:{at_s % 60:02d}", "tick")


def _bars(fault: Fault, recovered: Sequence[Recovery], lasts_s: float, scale: float) -> Iterator[str]:
    """Draw a fault, and behind it, paler, how long it was still felt."""
    ended_s = lasts_s if fault.ended_s is None else fault.ended_s
    y = _middle(fault.target) - BAR / 2
    step = STEPS_OF[fault.target][0]
    felt = next(
        (one for one in recovered if (one.target, one.ended_s, one.step) == (fault.target, fault.ended_s, step)), None
    )
    told = f"{fault.target}: {fault.how} at {fault.began_s:.1f} s for {ended_s - fault.began_s:.1f} s"
    if felt is not None and felt.took_s is not None:
        told += f", first {step} {felt.took_s:.2f} s later"
        yield (
            f'<rect class="{fault.kind} felt" x="{ended_s * scale:.1f}" y="{y + 2:g}" rx="2"'
            f' width="{felt.took_s * scale:.1f}" height="{BAR - 4:g}"><title>{escape(told)}</title></rect>'
        )
    yield (
        f'<rect class="{fault.kind}" x="{fault.began_s * scale:.1f}" y="{y:g}" rx="2"'
        f' width="{max(LEAST_BAR, (ended_s - fault.began_s) * scale):.1f}" height="{BAR:g}">'
        f"<title>{escape(told)}</title></rect>"
    )


def _columns(counts: Sequence[int], number: int, scale: float, kind: str) -> str:
    """Draw counts by second as columns, the highest with its number."""
    top, most = _chart_top(number) + 20, max([1, *counts])
    room = CHART - 26
    columns = "".join(
        f'<rect x="{second * scale:.1f}" width="{max(1.0, scale - 1):.1f}" y="{top + room * (1 - count / most):.1f}"'
        f' height="{room * count / most:.1f}"><title>{second} s: {count}</title></rect>'
        for second, count in enumerate(counts)
        if count
    )
    base = f'<line class="lane" x1="0" x2="{len(counts) * scale:.1f}" y1="{top + room:g}" y2="{top + room:g}"/>'
    return f'<g class="{kind}">{columns}</g>{base}{_text(2, top - 4, f"most {max(counts, default=0)}", "tick")}'


def _middle(lane: str) -> float:
    place = LANES.index(lane)
    return LANE / 2 + place * LANE + (GAP if place >= LANES.index(FIRST_LINK) else 0)


def _chart_top(number: int) -> float:
    rest = AXIS if number == len(SAMPLES) else 0
    return len(LANES) * LANE + 2 * GAP + number * CHART + rest


def _text(x: float, y: float, text: str, kind: str = "name") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:g}">{escape(text)}</text>'
