"""The report of analytics as one self-contained HTML page: no script, font or picture is loaded."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.core.report import BUSY_SHARE, DAY_S, HOUR_S, Report, Step
from autogrocery.cli.report_style import STYLE
from autogrocery.cli.report_svg import LABEL_EVERY_H, Bar, chart, heat_map, share_bar
from autogrocery.cli.report_text import (
    LOST,
    STATUS_WORDS,
    advice,
    change,
    duration,
    missing_notices,
    money,
    per_cent,
    period_name,
    step_name,
    summary,
    totals,
)
from autogrocery.contracts.money import MINOR_DIGITS, format_amount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from autogrocery.analytics.core.report import Outcome

FOOT: Final = (
    "Every figure has its query in docs/ANALYTICS.md. Days begin at local midnight; an order belongs to the step in"
    " which it ended, and to the outcomes of the day on which it was quoted."
)
SHOWN_PRODUCTS: Final = 5  # the rest is folded up
SHOWN_ROBOTS: Final = 6
FEW_UNITS: Final = 10  # thousands or millions on an axis, below which a decimal says something


def page(report: Report, currency: str) -> str:
    """Return the whole page."""
    title = f"{report.period.store_id or 'All marts'}, {period_name(report)}"
    axis = partial(_axis, currency=currency)
    parts = [
        _head(report, title, currency),
        _tiles(report, currency),
        '<div class="two">',
        _chart(report, "Revenue", lambda step: step.revenue_cents, lambda cents: money(cents, currency), axis),
        _chart(report, "Completed orders", lambda step: step.orders, _grouped, _grouped),
        "</div>",
        _busiest(report),
        _short(report, currency),
        '<div class="flow">',
        _outcomes(report, currency),
        _stages(report),
        _deliveries(report),
        _robots(report),
        "</div>",
        f"<footer>{FOOT}</footer>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(report: Report, title: str, currency: str) -> str:
    newest = datetime.fromtimestamp(report.newest_fact_at).astimezone() if report.newest_fact_at else None
    known = newest.strftime("%A, %d %B, %H:%M") if newest else "none yet"
    notices = "".join(f'<p class="notice">{escape(one)}</p>' for one in missing_notices(report))
    return (
        f'<header><h1>{escape(title)}</h1><p class="soft">Newest status change: {known}</p>'
        f'<p class="lead">{escape(summary(report, currency))}</p>{notices}</header>'
    )


def _tiles(report: Report, currency: str) -> str:
    (orders, cents), before = totals(report.steps), report.total_before
    compared = partial(_change, report)
    lost = [one for one in report.outcomes if one.status in LOST]
    lost_cents = _lost_cents(report.outcomes)
    an_order = round(cents / orders) if orders else 0
    an_order_before = round(before.revenue_cents / before.orders) if before.orders else 0
    slowest = next((one for one in report.stages if one.name == "quote to end"), None)
    tiles = [
        ("", _amount(cents, currency), "revenue", compared(cents, before.revenue_cents)),
        ("", f"{orders:,}", "orders completed", compared(orders, before.orders)),
        ("", _amount(an_order, currency) if orders else "-", "an order", compared(an_order, an_order_before)),
        (
            "loss" if report.short_cents else "",
            _amount(report.short_cents, currency),
            "lost by short picks",
            compared(report.short_cents, report.short_cents_before, grows="bad")
            or _share(report.short_cents, cents + report.short_cents, 2, "of what was wanted"),
        ),
        (
            "loss" if lost_cents else "",
            _amount(lost_cents, currency),
            f"quoted for {sum(one.orders for one in lost):,} lost orders",
            compared(lost_cents, _lost_cents(report.outcomes_before), grows="bad")
            or _share(sum(one.orders for one in lost), sum(one.orders for one in report.outcomes), 1, "of quotes"),
        ),
        (
            "",
            duration(slowest.p90_ms) if slowest else "-",
            "nine in ten orders took at most",
            _soft(f"half of them {duration(slowest.p50_ms)}" if slowest else ""),
        ),
    ]
    cells = (
        f'<div class="card {kind}"><b>{value}</b><span class="soft">{what}</span>{more}</div>'
        for kind, value, what, more in tiles
    )
    return f'<section class="tiles">{"".join(cells)}</section>'


def _chart(
    report: Report,
    title: str,
    value_of: Callable[[Step], int],
    text_of: Callable[[int], str],
    short_of: Callable[[int], str],
) -> str:
    step_s = report.period.step_s
    bars = [
        Bar(value_of(step), value_of(before), _label(step, step_s), step_name(step, step_s))
        for step, before in zip(report.steps, report.before, strict=True)
    ]
    body = chart(title, bars, text_of, short_of)
    legend = (
        '<p class="legend soft"><span><i class="now"></i>this time</span>'
        '<span><i class="before"></i>the week before</span></p>'
    )
    return f'<section class="card"><h2>{title}</h2>{legend}{body}</section>'


def _busiest(report: Report) -> str:
    busiest = report.busiest
    if busiest is None:
        return _card("Busiest hour", "<p>No order was completed in this time.</p>")
    when = datetime.fromtimestamp(busiest.started_at).astimezone()
    share = per_cent(busiest.revenue_cents, totals(report.steps)[1])
    sub = (
        f"{busiest.orders:,} orders completed, {share} of the revenue. {report.in_progress(busiest):.1f} orders were"
        f" with the robots at once on average; nine in ten took at most {duration(busiest.p90_ms)}."
    )
    parts = [f'<p class="sub">{escape(sub)}</p>']
    if report.aisles:
        rows = (
            (
                escape(one.aisle),
                share_bar(one.peak_load, one.robots, "lost" if one.peak_load > BUSY_SHARE * one.robots else "now"),
                per_cent(one.peak_load, one.robots, 0),
                duration(one.peak_wait_ms),
                f"{one.robots:,}",
                f"<b>{one.robots_needed:,}</b>" if one.robots_needed > one.robots else f"{one.robots_needed:,}",
            )
            for one in sorted(report.aisles, key=lambda one: one.peak_load / max(one.robots, 1), reverse=True)
        )
        head = ("aisle", "", "busy", "waited, p90", "robots", "needed")
        parts += [f'<p class="advice">{escape(advice(report))}</p>', _table(head, rows)]
    elif not report.told.picks:
        parts.append('<p class="soft">What it would take is not told: inventory has not said what robots did.</p>')
    table = _card(f"Busiest hour: {when:%A, %d %B, %H:%M}", "".join(parts))
    if not report.hours:
        return table
    heat = _card(
        "Orders by hour", f'<p class="sub">Darker is more; the busiest hour is framed.</p>{heat_map(report.hours)}'
    )
    return f'<div class="two">{heat}{table}</div>'


def _short(report: Report, currency: str) -> str:
    if not report.short_cents and not report.short_aisles:
        all_there = '<p class="good">Everything that was ordered was there.</p>'
        return _card("Short picks", all_there if totals(report.steps)[0] else "<p>No order was completed.</p>")
    if not report.told.shortfalls:
        text = "Which lines were short is not told: the gateway has not said so."
        return _card(f"Short picks cost {money(report.short_cents, currency)}", f'<p class="soft">{escape(text)}</p>')
    most = max((one.lost_cents for one in report.short_aisles), default=0)
    aisles = (
        (
            escape(one.aisle or "aisle not told"),
            share_bar(one.lost_cents, most, "lost"),
            f"{one.orders:,}",
            f"{one.units:,}",
            money(one.lost_cents, currency),
        )
        for one in report.short_aisles
    )
    products = [
        (
            f"{escape(one.name)}<small>SKU {escape(one.sku)}</small>",
            escape(one.aisle or "-"),
            f"{one.orders:,}",
            f"{one.units:,}",
            money(one.lost_cents, currency),
        )
        for one in report.short_skus
    ]
    head = ("most expensive products", "?aisle", "?orders", "units", "lost")
    by_line = sum(one.lost_cents for one in report.short_aisles)
    sub = "Wanted, quoted, and not on the shelf: not charged."
    if by_line != report.short_cents:
        sub += f" The lines of orders that ended in this time: {money(by_line, currency)}."
    return (
        f'<section class="card"><h2>Short picks cost {money(report.short_cents, currency)}</h2>'
        f'<p class="sub">{escape(sub)}</p><div class="two"><div>'
        + _table(("aisle", "", "?orders", "units", "lost"), aisles, empty="No line is known yet.")
        + "</div><div>"
        + _table(head, products[:SHOWN_PRODUCTS])
        + (_folded("The next products", _table(head, products[SHOWN_PRODUCTS:])) if products[SHOWN_PRODUCTS:] else "")
        + "</div></div></section>"
    )


def _outcomes(report: Report, currency: str) -> str:
    quoted = sum(one.orders for one in report.outcomes)
    funnel = {
        "quoted": report.outcomes,
        "given to robots": [one for one in report.outcomes if one.was_dispatched],
        "completed": [one for one in report.outcomes if one.status == "COMPLETED"],
    }
    lost = {
        f"{STATUS_WORDS.get(one.status, one.status)}{', robots had it' if one.was_dispatched else ''}": [one]
        for one in report.outcomes
        if one.status != "COMPLETED"
    }
    rows = (
        (
            escape(name),
            share_bar(sum(one.orders for one in some), quoted, kind),
            f"{sum(one.orders for one in some):,}",
            per_cent(sum(one.orders for one in some), quoted),
            money(sum(one.quoted_cents for one in some), currency),
        )
        for kind, part in (("now", funnel), ("lost", lost))
        for name, some in part.items()
    )
    return _card("What became of the orders", _table(("", "", "orders", "?share", "quoted for"), rows))


def _stages(report: Report) -> str:
    rows = (
        (escape(one.name), f"{one.orders:,}", duration(one.p50_ms), duration(one.p90_ms), duration(one.p99_ms))
        for one in report.stages
    )
    sub = '<p class="sub">Half, nine in ten, and all but one in a hundred took at most:</p>'
    return _card("How long it took", sub + _table(("", "?orders", "p50", "p90", "p99"), rows, empty="No order yet."))


def _robots(report: Report) -> str:
    if not report.aisles:
        text = (
            "No robot picked anything in this time."
            if report.told.picks
            else "Not told: inventory has not said what robots did."
        )
        return _card("Robots", f'<p class="soft">{text}</p>')
    picks_of = {one.aisle: one.picks for one in report.aisles}
    aisles = (
        (
            f"{escape(one.aisle)}<small>{one.robots:,} {'robot' if one.robots == 1 else 'robots'}</small>",
            share_bar(one.busy_s, one.robots * report.length_s),
            f"{one.picks:,}",
            f"{one.units:,}",
            per_cent(one.robots * report.length_s - one.busy_s, one.robots * report.length_s),
        )
        for one in report.aisles
    )
    robots = [
        (
            f"{escape(one.robot_id)}{'' if report.period.store_id else f'<small>{escape(one.store_id)}</small>'}",
            share_bar(one.picks, picks_of.get(one.aisle, 0)),
            per_cent(one.picks, picks_of.get(one.aisle, 0)),
            f"{one.units:,}",
            _hours(max(report.length_s - one.busy_s, 0)),
        )
        for one in report.robots
    ]
    each = _table(("robot", "", "share", "?units", "idle"), robots)
    each = f'<p class="sub">Of its aisle\'s picks.</p>{each}'
    return _card(
        "Robots",
        '<p class="sub">Busy: with an assignment in hand. Idle: none was there for it, day and night.</p>'
        + _table(("aisle", "", "?picks", "units", "idle"), aisles)
        + _folded("Each robot", each, is_open=len(robots) <= SHOWN_ROBOTS),
    )


def _deliveries(report: Report) -> str:
    if not report.deliveries and not report.received:
        return _card("Deliveries", '<p class="soft">No delivery was announced in this time.</p>')
    words = ", ".join(
        f"{one.deliveries:,} {one.status.lower()} ({one.units_announced:,} units)" for one in report.deliveries
    )
    sub = f'<p class="sub">Announced in this time, by what became of them: {escape(words or "none")}.</p>'
    if not report.received:
        known = "Nothing was received in this time." if report.told.shortfalls else "What came of them is not told."
        return _card("Deliveries: announced against received", f'{sub}<p class="soft">{known}</p>')
    rows = (
        (
            escape(one.aisle),
            f"{one.announced:,}",
            f"{one.received:,}",
            _flaw(one.missing),
            _flaw(one.damaged),
            f"{one.surplus:,}" if one.surplus else "-",
        )
        for one in report.received
    )
    head = ("aisle", "announced", "received", "missing", "damaged", "?too many")
    return _card("Deliveries: announced against received", sub + _table(head, rows))


def _folded(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{body}</details>"


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{title}</h2>{body}</section>'


def _amount(cents: int, currency: str) -> str:
    """Return an amount for a tile: without its cents if it is large, the currency small."""
    text = format_amount(cents, currency, grouped=True)
    amount, _, unit = text.partition(" ")
    if "," in amount:
        amount = amount.partition(".")[0]
    return f"{amount} <small>{escape(unit)}</small>" if unit else amount


def _lost_cents(outcomes: Iterable[Outcome]) -> int:
    return sum(one.quoted_cents for one in outcomes if one.status in LOST)


def _share(part: int, whole: int, digits: int, words: str) -> str:
    return _soft(f"{per_cent(part, whole, digits)} {words}") if whole else ""


def _change(report: Report, now: int, before: int, *, grows: str = "good") -> str:
    text = change(now, before)
    kind = grows if not text.startswith("-") else "bad" if grows == "good" else "good"
    when = "vs week before by then" if report.is_running else "vs week before"
    return f'<i><span class="{kind}">{text}</span> <span class="soft">{when}</span></i>' if text else ""


def _soft(text: str) -> str:
    return f'<i class="soft">{escape(text)}</i>' if text else ""


def _flaw(units: int) -> str:
    return f'<span class="bad">{units:,}</span>' if units else "-"


def _label(step: Step, step_s: int) -> str:
    at = datetime.fromtimestamp(step.started_at).astimezone()
    if step_s >= DAY_S:
        return f"{at:%a} <em>{at:%d}</em>"
    return f"{at:%H}" if at.hour % LABEL_EVERY_H == 0 and step.started_at % HOUR_S == 0 else ""


def _grouped(value: int) -> str:
    return f"{value:,}"


def _axis(cents: int, currency: str) -> str:
    amount = cents / 10 ** MINOR_DIGITS.get(currency, 2)
    for unit, sign in ((1_000_000, "M"), (1_000, "k")):
        if amount >= unit:
            return f"{amount / unit:,.{1 if amount < FEW_UNITS * unit else 0}f}{sign}"
    return f"{amount:,.0f}"


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR_S:.1f} h"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], empty: str = "") -> str:
    """Return a table; a head that begins with "?" is of a column that narrow pages leave out, "" of one with bars."""
    kinds = [
        " ".join(
            kind
            for kind, holds in (
                ("bar", number and not text),
                ("n", number and text),
                ("opt", text.startswith("?") or (number and not text)),
            )
            if holds
        )
        for number, text in enumerate(head)
    ]

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="{kind}">{text}</{tag}>' if kind else f"<{tag}>{text}</{tag}>"
            for kind, text in zip(kinds, texts, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    if not body and empty:
        return f'<p class="soft">{escape(empty)}</p>'
    top = cells("th", [text.removeprefix("?") for text in head])
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
