"""The performance goals, each with the measured figure and whether it is reached. A missed goal is not lowered."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.job import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.record import Case, PgbenchComparison, Record
    from bench.table_growth import TableGrowth

GOALS = "Goals"
GOAL_HEAD = ("figure", "goal", "measured", "reached")
RATIO_STREAM, RATIO_UNARY, RATIO_WHOLE = 1.8, 1.1, 0.6
MAX_US = {"gateway": 250.0, "postgresql": 120.0}
HALF_P99_MS, GOODPUT_SHARE, REFUSED_MS, LOGIN_LOSS, ONE_P50_MS = 10.0, 0.8, 50.0, 0.1, 4.0

MAX_GROWTH, READ_P99_MS = 0.15, 10.0

Row = tuple[str, str, str, str]


def goals(record: Record) -> Iterator[Row]:
    """Yield a row for each goal whose figure was measured."""
    for comparison in record.comparisons:
        yield from comparison_goals(comparison)
    yield from network_goals(record)
    yield from latency_goals(record.closed)
    yield from open_loop_goals(record)
    yield from login_goals(record.logins)
    yield from growth_goals(record.table_growth)
    yield at_most("violations found by the audits after all runs", record.violations, 0, ".0f")


def comparison_goals(comparison: PgbenchComparison) -> Iterator[Row]:
    """Yield the ratio to pgbench and, for peers with streams, the CPU of an order."""
    conditions = f"{comparison.peers} peers, {comparison.connections} connections, {comparison.lines} lines"
    least = RATIO_UNARY if comparison.unary_only else RATIO_STREAM
    yield at_least(f"orders/s ÷ pgbench, {conditions}", comparison.ratio, least, ".2f")
    for name, most in MAX_US.items() if not comparison.unary_only else ():
        yield at_most(
            f"CPU µs an order, {name}, {conditions}",
            statistics.median(run.cpu_us[name] for run in comparison.gateway),
            most,
            ",.0f",
        )


def network_goals(record: Record) -> Iterator[Row]:
    """Yield the whole network's best rate ÷ pgbench's with the most lines, which are closest to real baskets."""
    most = max((comparison.lines for comparison in record.comparisons), default=0)
    pgbench_rates = [
        result.orders_per_s
        for comparison in record.comparisons
        if comparison.lines == most
        for result in comparison.pgbench
    ]
    if record.whole and pgbench_rates:
        best = max(case.run.orders_per_s for case in record.whole) / statistics.median(pgbench_rates)
        yield at_least(f"whole network ÷ pgbench with {most} lines", best, RATIO_WHOLE, ".2f")


def latency_goals(cases: list[Case]) -> Iterator[Row]:
    """Yield the latency of an order when no other is in flight."""
    for case in cases:
        if (case.connections, case.gateways) == (1, 1):
            yield at_most(
                "an order's three requests at one connection, p50 ms",
                case.run.tally.latency_ms["order"].p50,
                ONE_P50_MS,
                ".1f",
            )


def open_loop_goals(record: Record) -> Iterator[Row]:
    """Yield latency at half the peak rate, goodput and refusals at three times the peak rate."""
    if record.half:
        p99 = max(record.half.run.tally.latency_ms[kind].p99 for kind in KINDS)
        yield at_most("a request at half the peak rate, p99 ms", p99, HALF_P99_MS, ".1f")
    if record.overload and record.peak:
        share = record.overload.run.orders_per_s / record.peak
        yield at_least("goodput at three times the peak, share of it", share, GOODPUT_SHARE, ".0%")
        if refused := record.overload.run.tally.refused_ms:
            yield at_most("a refusal at three times the peak, p99 ms", refused.p99, REFUSED_MS, ".1f")


def login_goals(cases: list[Case]) -> Iterator[Row]:
    """Yield the share of orders lost to logins."""
    if len(cases) > 1:
        alone, beside_logins = (case.run.orders_per_s for case in cases)
        yield at_most(
            "orders/s lost to two devices logging in without pause", 1.0 - beside_logins / alone, LOGIN_LOSS, ".0%"
        )


def growth_goals(cases: list[TableGrowth]) -> Iterator[Row]:
    """Yield how CPU grows with the orders in the tables, and the p99 of the slowest read with most of them."""
    if len(cases) > 1:
        least, most = cases[0], cases[-1]
        for name in MAX_US:
            growth = most.run.cpu_us[name] / least.run.cpu_us[name] - 1.0
            figure = f"CPU an order, {name}: {most.orders:,} orders in the tables against {least.orders:,}"
            yield at_most(figure, growth, MAX_GROWTH, "+.0%")
    for case in cases[-1:]:
        slowest = max(case.read_ms.values(), key=lambda latency: latency.p99)
        yield at_most(
            f"slowest read of orders, {case.orders:,} orders in the tables, p99 ms", slowest.p99, READ_P99_MS, ".1f"
        )


def at_least(figure: str, measured: float, least: float, form: str) -> Row:
    """Return the row of a figure with a lower bound."""
    return figure, f"≥ {least:{form}}", f"{measured:{form}}", "yes" if measured >= least else "no"


def at_most(figure: str, measured: float, most: float, form: str) -> Row:
    """Return the row of a figure with an upper bound."""
    return figure, f"≤ {most:{form}}", f"{measured:{form}}", "yes" if measured <= most else "no"
