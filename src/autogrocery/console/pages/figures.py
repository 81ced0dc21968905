"""The charts of analytics: a day by hour, or a week by day, beside the week before."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nicegui import ui
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response

from autogrocery.console.core.charts import paired_bars
from autogrocery.console.core.text import card, duration, esc, pill, table, tile
from autogrocery.console.pages.shell import Console, enter

if TYPE_CHECKING:
    from autogrocery.console.peers.analytics import Report, Step

DAY_S = 86_400
HOUR_S = 3_600


def register(console: Console) -> None:
    """Add the page."""

    @ui.page("/analytics")
    async def page(request: Request) -> Response | None:
        view = enter(console, request, "/analytics")
        if isinstance(view, Response):
            return view
        view.frame("Analytics")
        week = request.query_params.get("of") == "week"
        tabs = "".join(
            f'<a class="quiet" href="/analytics?of={name}"{current}>{title}</a>'
            for name, title, chosen in (("day", "Today by hour", not week), ("week", "Seven days", week))
            for current in (' aria-current="true"' if chosen else "",)
        )
        ui.html(f'<p class="buttons">{tabs}</p>', sanitize=False).classes("part")

        async def fetch() -> Report:
            until = (int(time.time()) // DAY_S + 1) * DAY_S
            length, step = (7 * DAY_S, DAY_S) if week else (DAY_S, HOUR_S)
            return await console.reports.report(until - length, until, step)

        await view.live(
            "report-week" if week else "report-day", fetch, [("figures", lambda one: figures(one, week=week))]
        )
        return None


def figures(report: Report, *, week: bool) -> str:
    """Return tiles, charts and tables of a report."""

    def label(step: Step) -> str:
        return f"{datetime.fromtimestamp(step.started_at, UTC):{'%a %d' if week else '%H:00'}}"

    labels = [label(step) for step in report.steps]
    orders = [float(step.orders) for step in report.steps]
    cents = [step.revenue_cents / 100 for step in report.steps]
    before = report.before or report.steps
    orders_before = [float(step.orders) for step in before] if report.before else [0.0] * len(labels)
    cents_before = [step.revenue_cents / 100 for step in before] if report.before else [0.0] * len(labels)
    total = sum(orders)
    tiles = "".join(
        (
            tile("Completed", f"{total:,.0f}", f"a week before {sum(orders_before):,.0f}"),
            tile("Revenue", f"{sum(cents):,.2f}", f"a week before {sum(cents_before):,.2f}"),
            tile("An order", f"{sum(cents) / total:,.2f}" if total else "\N{EN DASH}"),
            tile("Missing changes", f"{report.gaps_open:,}", "", "bad" if report.gaps_open else "good"),
        )
    )
    stages = table(
        "Stages",
        ("Stage", "#Orders", "#p50", "#p90", "#p99"),
        (
            (esc(one.name), f"{one.orders:,}", *(duration(ms / 1000) for ms in (one.p50_ms, one.p90_ms, one.p99_ms)))
            for one in report.stages
        ),
        "No order ended.",
    )
    outcomes = table(
        "Outcomes",
        ("Status", "Robots had it", "#Orders"),
        ((pill(one.status), "yes" if one.was_dispatched else "no", f"{one.orders:,}") for one in report.outcomes),
        "No order was quoted.",
    )
    return (
        f'<div class="tiles">{tiles}</div>'
        + card(
            "Completed orders",
            paired_bars(
                "Completed orders", labels, orders, orders_before, f"{max((*orders, *orders_before), default=0):,.0f}"
            ),
        )
        + card(
            "Revenue",
            paired_bars("Revenue", labels, cents, cents_before, f"{max((*cents, *cents_before), default=0):,.2f}"),
        )
        + card("How long it took", stages)
        + card("What became of the orders", outcomes)
    )
