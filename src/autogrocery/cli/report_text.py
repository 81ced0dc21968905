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
WHOLE_PER_CENT: Final = 10  # from which on a decimal says nothing
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
LOST: Final = frozenset({"CANCELLED", "EXPIRED", "FAILED"})
SHOWN_PRODUCTS: Final = 10


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
    if not before:
        return ""
    part = 100 * (now - before) / before
    return f"{part:+,.{0 if abs(part) >= WHOLE_PER_CENT else 1}f} %"


def per_cent(part: float, whole: float, digits: int = 1) -> str:
    """Return a share in per cent; a dash of nothing."""
    return f"{100 * part / whole:.{digits}f} %" if whole else "-"


def summary(report: Report, currency: str) -> str:
    """Return the period in two or three sentences."""
    orders, cents = totals(report.steps)
    if not orders:
        return "No order was completed in this time."
    compared = change(cents, report.total_before.revenue_cents)
    if compared:
        word = "less" if compared.startswith("-") else "more"
        compared = f", {compared[1:]} {word} than the week before{' by then' if report.is_running else ''}"
    lost = [one for one in report.outcomes if one.status in LOST]
    told = f"{orders:,} orders brought {money(cents, currency)}{compared}."
    if report.short_cents:
        told += f" Short picks cost {money(report.short_cents, currency)}."
    if lost:
        quoted = money(sum(one.quoted_cents for one in lost), currency)
        told += f" {sum(one.orders for one in lost):,} orders quoted for {quoted} were lost."
    return told


def advice(report: Report) -> str:
    """Return what the busiest hour would have taken, by aisle; empty if robots' work is not told."""
    wanting = [one for one in report.aisles if one.robots_needed > one.robots]
    if not report.aisles:
        return ""
    if not wanting:
        return f"The robots were enough: in every aisle they had a fifth of the hour in reserve, {_spare(report)}."
    more = ", ".join(f"{one.robots_needed - one.robots} more in {one.aisle}" for one in wanting)
    return f"It would take {more} for each robot to have a fifth of the hour in reserve."


def missing_notices(report: Report) -> list[str]:
    """Return what the report does not know, one sentence each."""
    told = report.told
    found = []
    if report.gaps_open:
        found.append(f"{report.gaps_open:,} status changes are still missing.")
    if told.shortfalls and told.shortfalls_behind:
        found.append(f"Short picks and deliveries of {_ended(told.shortfalls_behind)} are not known yet.")
    if told.picks and told.picks_behind:
        found.append(f"Robots' work on {_ended(told.picks_behind)} is not known yet.")
    return found


def _ended(orders: int) -> str:
    return f"{orders:,} ended {'order' if orders == 1 else 'orders'}"


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
        *([_short(report, currency)] if report.short_cents or report.short_skus else []),
        *([_robots(report)] if report.aisles else []),
        *([_deliveries(report)] if report.deliveries else []),
        *([_received(report)] if report.received else []),
        Text(summary(report, currency)),
        *([Text(f"{_busiest(report)} {advice(report)}".strip())] if report.busiest else []),
        *(Text(one, style="dim") for one in not_told(report)),
        *(Text(one, style="bold red") for one in missing_notices(report)),
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
    (orders, cents), orders_before = totals(report.steps), report.total_before.orders
    compared = f"{orders_before:,} {change(orders, orders_before)}{' by then' if report.is_running else ''}".strip()
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


def not_told(report: Report) -> list[str]:
    """Return which details no peer has told so far: they are unknown, not zero."""
    return [
        sentence
        for told, sentence in (
            (report.told.shortfalls, "Not told by the gateway: which lines were short, what deliveries brought."),
            (report.told.picks, "Not told by inventory: what robots did, and what the busiest hour would take."),
        )
        if not told
    ]


def _short(report: Report, currency: str) -> Table:
    table = Table("product", "aisle", "orders", "units", "lost", title="picked short")
    for one in report.short_skus[:SHOWN_PRODUCTS]:
        table.add_row(one.name, one.aisle, f"{one.orders:,}", f"{one.units:,}", money(one.lost_cents, currency))
    table.add_section()
    table.add_row("all", "", "", "", money(report.short_cents, currency))
    return table


def _robots(report: Report) -> Table:
    table = Table("aisle", "robots", "picks", "units", "idle", "busy in the busiest hour", "it would take")
    table.title = "robots"
    for one in report.aisles:
        whole_s = one.robots * report.length_s
        table.add_row(
            one.aisle,
            f"{one.robots:,}",
            f"{one.picks:,}",
            f"{one.units:,}",
            per_cent(whole_s - one.busy_s, whole_s),
            per_cent(one.peak_load, one.robots, 0),
            f"{one.robots_needed:,}",
        )
    return table


def _received(report: Report) -> Table:
    table = Table("aisle", "announced", "received", "missing", "damaged", "too many", title="deliveries received")
    for one in report.received:
        units = (one.announced, one.received, one.missing, one.damaged, one.surplus)
        table.add_row(one.aisle, *(f"{count:,}" for count in units))
    return table


def _spare(report: Report) -> str:
    busiest = max(report.aisles, key=lambda one: one.peak_load / max(one.robots, 1))
    return f"{busiest.aisle} the least ({per_cent(busiest.peak_load, busiest.robots, 0)} busy)"


def _busiest(report: Report) -> str:
    busiest = report.busiest
    if busiest is None:
        return ""
    at = datetime.fromtimestamp(busiest.started_at).astimezone()
    return (
        f"Busiest hour: {at:%A, %H:%M} with {busiest.orders:,} orders;"
        f" {report.in_progress(busiest):.1f} were with the robots on average, nine in ten for at most"
        f" {duration(busiest.p90_ms)}."
    )
