"""The report of analytics in a terminal: tables with bars."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from autogrocery.analytics.core.report import DAY_S, Report, Step
from autogrocery.contracts.money import format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
BAR_WIDTH: Final = 24  # characters
EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
STATUS_WORDS: Final = {
    "PREVIEWED": "still a quote",
    "PROCESSING": "still with the robots",
    "COMPLETED": "completed",
    "CANCELLED": "cancelled by the customer",
    "EXPIRED": "quote expired",
    "FAILED": "failed",
}


def money(cents: int, currency: str) -> str:
    """Return an amount with its currency."""
    return format_amount(cents, currency, grouped=True)


def duration(ms: float) -> str:
    """Return a duration in the unit that fits it."""
    if ms < SECOND_MS:
        return f"{ms:.0f} ms"
    return f"{ms / SECOND_MS:.1f} s" if ms < 2 * MINUTE_MS else f"{ms / MINUTE_MS:.1f} min"


def change(now: int, before: int) -> str:
    """Return the change against the week before in per cent; empty if there is nothing to compare with."""
    return f"{100 * (now - before) / before:+.0f} %" if before else ""


def step_name(step: Step, step_s: int) -> str:
    """Return the local hour or day in which a step begins."""
    at = datetime.fromtimestamp(step.started_at).astimezone()
    return at.strftime("%a %d %b") if step_s >= DAY_S else at.strftime("%H:%M")


def period_name(report: Report) -> str:
    """Return the local day or days of the period."""
    first, last = (
        datetime.fromtimestamp(second).astimezone() for second in (report.period.since_s, report.period.until_s - 1)
    )
    if first.date() == last.date():
        return first.strftime("%A, %d %B %Y")
    return f"{first.strftime('%d %B')} to {last.strftime('%d %B %Y')}"


def totals(steps: Sequence[Step]) -> tuple[int, int]:
    """Return orders and revenue in cents of all steps."""
    return sum(step.orders for step in steps), sum(step.revenue_cents for step in steps)


def tables(report: Report, currency: str) -> RenderableType:
    """Return everything that is shown in a terminal."""
    return Group(
        Text(f"{report.period.store_id or 'All marts'} · {period_name(report)}", style="bold"),
        _steps(report, currency),
        _outcomes(report, currency),
        _stages(report),
        *([_deliveries(report)] if report.deliveries else []),
        Text(_busiest(report)),
        *([Text(f"{report.gaps_open:,} status changes are still missing", style="bold red")] * bool(report.gaps_open)),
    )


def _bar(value: float, most: float) -> str:
    eighths = round(BAR_WIDTH * 8 * value / most) if most else 0
    return EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _steps(report: Report, currency: str) -> Table:
    table = Table("", "orders", "", "a week before", "revenue", "p90", title="completed orders")
    most = max((step.orders for step in report.steps), default=0)
    for step, before in zip(report.steps, report.before, strict=True):
        if step.orders or step.previews or before.orders:
            table.add_row(
                step_name(step, report.period.step_s),
                f"{step.orders:,}",
                _bar(step.orders, most),
                f"{before.orders:,}",
                money(step.revenue_cents, currency),
                duration(step.p90_ms) if step.orders else "",
            )
    (orders, cents), (orders_before, _) = totals(report.steps), totals(report.before)
    compared = f"{orders_before:,} {change(orders, orders_before)}".strip()
    table.add_section()
    table.add_row("all", f"{orders:,}", "", compared, money(cents, currency), "")
    return table


def _outcomes(report: Report, currency: str) -> Table:
    table = Table(
        "orders quoted in this time", "robots had it", "orders", "", "quoted for", title="what became of them"
    )
    most = max((one.orders for one in report.outcomes), default=0)
    for one in report.outcomes:
        table.add_row(
            STATUS_WORDS.get(one.status, one.status),
            "yes" if one.was_dispatched else "no",
            f"{one.orders:,}",
            _bar(one.orders, most),
            money(one.quoted_cents, currency),
        )
    return table


def _stages(report: Report) -> Table:
    table = Table("stage", "orders", "p50", "p90", "p99", title="how long it took")
    for one in report.stages:
        table.add_row(one.name, f"{one.orders:,}", duration(one.p50_ms), duration(one.p90_ms), duration(one.p99_ms))
    return table


def _deliveries(report: Report) -> Table:
    table = Table("deliveries announced in this time", "deliveries", "units announced", title="deliveries")
    for one in report.deliveries:
        table.add_row(one.status.lower(), f"{one.deliveries:,}", f"{one.units_announced:,}")
    return table


def _busiest(report: Report) -> str:
    busiest = report.busiest
    if busiest is None:
        return "No order was completed in this time."
    return (
        f"Busiest: {step_name(busiest, report.period.step_s)} with {busiest.orders:,} orders;"
        f" {report.in_progress(busiest):.1f} were with the robots on average, nine in ten for at most"
        f" {duration(busiest.p90_ms)}."
    )
