"""The report of analytics as one self-contained HTML page: no script, font or picture is loaded."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.core.report import DAY_S, Report, Step
from autogrocery.cli.report_text import STATUS_WORDS, change, duration, money, period_name, step_name, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HEIGHT: Final = 100  # units of a chart; its width is 10 units a step, and both are stretched to the page
GROUP: Final = 10
MAX_TILE_CHARACTERS: Final = 7  # a larger amount is shown without its cents
LOST: Final = frozenset({"CANCELLED", "EXPIRED", "FAILED"})
STYLE: Final = """
:root{color-scheme:light dark;--page:#f6f6f2;--card:#fff;--ink:#1c1f21;--soft:#5f666b;--line:#dddfd9;--now:#1f6fb5;
--before:#b9c3cb;--good:#1a7f4b;--bad:#b3372f}
@media(prefers-color-scheme:dark){:root{--page:#131516;--card:#1c1f21;--ink:#eceeed;--soft:#a0a8ad;--line:#33383b;
--now:#5a9ef0;--before:#4b545b;--good:#4cc38a;--bad:#ff7b72}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:24px 16px 48px}h1{font-size:24px;line-height:1.25;margin:0}
h2{font-size:16px;margin:0 0 12px}p{margin:0}.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}
header{margin-bottom:18px}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(148px,1fr));gap:12px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px;margin:0 0 14px}
.tiles{margin-bottom:14px}.tiles .card{padding:12px 16px;margin:0}.tiles small{font-size:13px;font-weight:400}
.tiles i{font-style:normal;white-space:nowrap}
.tiles b{display:block;font-size:24px;line-height:1.3;font-variant-numeric:tabular-nums}
.tiles span{font-size:13px}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:0 14px}
.legend{display:flex;gap:4px 18px;flex-wrap:wrap;font-size:13px;margin-bottom:8px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px}
.chart svg{display:block;width:100%;height:150px;border-bottom:1px solid var(--line)}
.hours{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);font-size:12px}.hours span{white-space:nowrap}
.now{fill:var(--now);background:var(--now)}.before{fill:var(--before);background:var(--before)}
table{border-collapse:collapse;width:100%;font-size:14px}.wide{overflow-x:auto}
th{text-align:left;font-weight:600;font-size:12.5px;color:var(--soft)}
th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td svg{display:block;width:100%;min-width:60px;height:12px}
@media(max-width:520px){.bar{display:none}th,td{padding-right:7px;font-size:13px}.tiles b{font-size:20px}}
@media print{:root{color-scheme:light;--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--now:#1f6fb5;
--before:#c3ccd3;--good:#1a7f4b;--bad:#b3372f}main{max-width:none;padding:0}.card{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def page(report: Report, currency: str) -> str:
    """Return the whole page."""
    title = f"{report.period.store_id or 'All marts'}, {period_name(report)}"
    parts = [
        _head(report, title),
        _tiles(report, currency),
        _chart(report, "Completed orders", lambda step: step.orders, lambda value: f"{value:,}"),
        _chart(report, "Revenue", lambda step: step.revenue_cents, lambda value: money(value, currency)),
        '<div class="two">',
        _outcomes(report, currency),
        _stages(report),
        "</div>",
        '<div class="two">',
        _busiest(report),
        _deliveries(report),
        "</div>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(report: Report, title: str) -> str:
    newest = datetime.fromtimestamp(report.newest_fact_at).astimezone() if report.newest_fact_at else None
    known = newest.strftime("%d %B, %H:%M") if newest else "none yet"
    missing = f'<p class="bad">{report.gaps_open:,} status changes are still missing.</p>' if report.gaps_open else ""
    return f'<header><h1>{escape(title)}</h1><p class="soft">Newest status change: {known}</p>{missing}</header>'


def _tiles(report: Report, currency: str) -> str:
    (orders, cents), (orders_before, cents_before) = totals(report.steps), totals(report.before)
    lost = [one for one in report.outcomes if one.status in LOST]
    items = sum(step.items for step in report.steps)
    tiles = [
        (f"{orders:,}", "orders completed", change(orders, orders_before)),
        (money(cents, currency), "revenue", change(cents, cents_before)),
        (money(round(cents / orders), currency) if orders else "?", "an order", ""),
        (f"{items / orders:.1f}" if orders else "?", "items an order", ""),
        (f"{sum(one.orders for one in lost):,}", "orders lost", ""),
        (money(sum(one.quoted_cents for one in lost), currency), "they were quoted", ""),
    ]
    cells = (
        f'<div class="card"><b>{_small_currency(value)}</b><span class="soft">{what}</span> '
        f'<i class="{"bad" if compared.startswith("-") else "good"}">{compared}</i></div>'
        for value, what, compared in tiles
    )
    return f'<section class="tiles">{"".join(cells)}</section>'


def _chart(report: Report, title: str, value_of: Callable[[Step], int], text_of: Callable[[int], str]) -> str:
    steps, before, step_s = report.steps, report.before, report.period.step_s
    most = max(map(value_of, [*steps, *before]), default=0)
    bars = []
    for number, (step, earlier) in enumerate(zip(steps, before, strict=True)):
        for one, kind, at in ((earlier, "before", 1.0), (step, "now", 4.6)):
            height = HEIGHT * value_of(one) / most if most else 0
            name = f"{step_name(one, step_s)}{' a week before' if kind == 'before' else ''}: {text_of(value_of(one))}"
            bars.append(
                f'<rect class="{kind}" x="{GROUP * number + at:g}" y="{HEIGHT - height:.2f}" width="4.2"'
                f' height="{height:.2f}"><title>{escape(name)}</title></rect>'
            )
    every = 1 if step_s >= DAY_S else 4
    labels = (
        f"<span>{step_name(step, step_s).split()[0] if number % every == 0 else ''}</span>"
        for number, step in enumerate(steps)
    )
    return (
        f'<section class="card"><h2>{title}</h2><p class="legend soft"><span><i class="now"></i>this time</span>'
        f'<span><i class="before"></i>the week before</span><span>highest: {text_of(most)}</span></p>'
        '<div class="chart">'
        f'<svg viewBox="0 0 {GROUP * len(steps)} {HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{title}">{"".join(bars)}</svg><div class="hours soft">{"".join(labels)}</div></div></section>'
    )


def _outcomes(report: Report, currency: str) -> str:
    quoted = sum(one.orders for one in report.outcomes)
    funnel = {
        "quoted": report.outcomes,
        "robots had it": [one for one in report.outcomes if one.was_dispatched],
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
            _bar(sum(one.orders for one in some), quoted, kind),
            f"{sum(one.orders for one in some):,}",
            _share(sum(one.orders for one in some), quoted),
            money(sum(one.quoted_cents for one in some), currency),
        )
        for kind, part in (("now", funnel), ("before", lost))
        for name, some in part.items()
    )
    return _card("What became of the orders", _table(("", "", "orders", "share", "quoted for"), rows))


def _stages(report: Report) -> str:
    rows = (
        (
            escape(one.name),
            f"{one.orders:,}",
            duration(one.p50_ms),
            duration(one.p90_ms),
            duration(one.p99_ms),
        )
        for one in report.stages
    )
    return _card("How long it took", _table(("", "orders", "p50", "p90", "p99"), rows))


def _busiest(report: Report) -> str:
    busiest = report.busiest
    if busiest is None:
        return _card("Busiest", "<p>No order was completed in this time.</p>")
    rows = [
        ("orders completed", f"{busiest.orders:,}"),
        ("with the robots at once, on average", f"{report.in_progress(busiest):.1f}"),
        ("nine in ten took at most", duration(busiest.p90_ms)),
        ("revenue share of the whole time", _share(busiest.revenue_cents, totals(report.steps)[1])),
    ]
    name = escape(step_name(busiest, report.period.step_s))
    return _card(f"Busiest: {name}", _table((), ((escape(what), value) for what, value in rows)))


def _deliveries(report: Report) -> str:
    if not report.deliveries:
        return ""
    rows = (
        (escape(one.status.lower()), f"{one.deliveries:,}", f"{one.units_announced:,}") for one in report.deliveries
    )
    return _card("Deliveries announced", _table(("", "deliveries", "units announced"), rows))


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{title}</h2>{body}</section>'


def _small_currency(value: str) -> str:
    amount, _, currency = value.partition(" ")
    if len(amount) > MAX_TILE_CHARACTERS:
        amount = amount.partition(".")[0]
    return f"{amount} <small>{currency}</small>" if currency else amount


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "?"


def _bar(value: float, most: float, kind: str) -> str:
    width = 100 * value / most if most else 0
    return (
        '<svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{kind}" width="{width:.2f}" height="12"></rect></svg>'
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cell(tag: str, number: int, text: str) -> str:
        kind = "bar" if text.startswith("<svg") or (number and not text) else "n"
        return f'<{tag} class="{kind}">{text}</{tag}>' if number else f"<{tag}>{text}</{tag}>"

    top = "".join(cell("th", number, text) for number, text in enumerate(head))
    body = "".join(f"<tr>{''.join(cell('td', number, text) for number, text in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="wide"><table>{f"<thead><tr>{top}</tr></thead>" if top else ""}<tbody>{body}</tbody></table></div>'
    )
