"""Charts as SVG texts: drawn here, so that a page needs no library in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.console.core.text import esc

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 600
HEIGHT: Final = 140


def stacked_bars(title: str, labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[float]]]) -> str:
    """Return bars of `series` (name, CSS class, values) on top of each other, one bar a label."""
    most = max((sum(values) for values in zip(*(one[2] for one in series), strict=True)), default=0) or 1
    step = WIDTH / max(len(labels), 1)
    bars = []
    for number, label in enumerate(labels):
        top = float(HEIGHT)
        words = ", ".join(f"{values[number]:,.0f} {name}" for name, _, values in series)
        for _, kind, values in series:
            height = HEIGHT * values[number] / most
            top -= height
            if height:
                bars.append(
                    f'<rect class="{kind}" x="{number * step + step * 0.12:.1f}" y="{top:.1f}" rx="1"'
                    f' width="{step * 0.76:.1f}" height="{height:.1f}"><title>{esc(label)}: {esc(words)}</title></rect>'
                )
    return _frame(title, labels, "".join(bars), [(name, kind) for name, kind, _ in series], f"{most:,.0f}")


def paired_bars(title: str, labels: Sequence[str], now: Sequence[float], before: Sequence[float], most: str) -> str:
    """Return bars of this period beside those of the earlier one; `most` is the text of the highest value."""
    highest = max((*now, *before), default=0) or 1
    step = WIDTH / max(len(labels), 1)
    bars = []
    for number, label in enumerate(labels):
        for kind, values, at in (("c-before", before, 0.08), ("c-now", now, 0.48)):
            height = HEIGHT * values[number] / highest
            bars.append(
                f'<rect class="{kind}" x="{(number + at) * step:.1f}" y="{HEIGHT - height:.1f}" rx="1"'
                f' width="{step * 0.4:.1f}" height="{height:.1f}">'
                f"<title>{esc(label)}: {values[number]:,.0f}</title></rect>"
            )
    return _frame(title, labels, "".join(bars), [("this time", "c-now"), ("a week before", "c-before")], most)


def _frame(title: str, labels: Sequence[str], bars: str, legend: Sequence[tuple[str, str]], most: str) -> str:
    every = max(1, len(labels) // 6)
    axis = "".join(f"<span>{esc(label)}</span>" for number, label in enumerate(labels) if number % every == 0)
    names = "".join(f'<span><i class="{kind}"></i>{esc(name)}</span>' for name, kind in legend)
    grid = "".join(f'<line class="c-grid" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>' for y in (0.5, HEIGHT / 2))
    return (
        f'<p class="legend">{names}<span class="legend-most">highest {esc(most)}</span></p>'
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{esc(title)}">{grid}{bars}</svg><div class="axis" aria-hidden="true">{axis}</div>'
    )
