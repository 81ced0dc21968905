"""What was to be reached, and whether it was. A figure that is missed stays here as it is."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.job import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.grown import Grown
    from bench.record import Case, Duel, Record

GOALS = "What was to be reached"
GOAL_HEAD = ("figure", "goal", "found", "reached")
RATIO_STREAM, RATIO_UNARY, RATIO_WHOLE = 1.8, 1.1, 0.6
MOST_US = {"gateway": 250.0, "postgresql": 120.0}
HALF_P99_MS, GOODPUT_SHARE, REFUSED_MS, LOGIN_LOSS, ONE_P50_MS = 10.0, 0.8, 50.0, 0.1, 4.0

MOST_GROWTH, LOOK_P99_MS = 0.15, 10.0

Row = tuple[str, str, str, str]


def goals(record: Record) -> Iterator[Row]:
    """Yield a row for each goal there are figures for."""
    for duel in record.duels:
        yield from of_duel(duel)
    yield from of_whole(record)
    yield from of_one_connection(record.closed)
    yield from of_open_loops(record)
    yield from of_logins(record.logins)
    yield from of_grown(record.grown)
    yield at_most("violations found by the audits after every run", record.violations, 0, ".0f")


def of_duel(duel: Duel) -> Iterator[Row]:
    """Yield the ratio to pgbench and, where streams are spoken, the CPU of an order."""
    conditions = f"{duel.peers} peers, {duel.connections} connections, {duel.lines} lines"
    least = RATIO_UNARY if duel.unary_only else RATIO_STREAM
    yield at_least(f"orders/s ÷ pgbench, {conditions}", duel.ratio, least, ".2f")
    for name, most in MOST_US.items() if not duel.unary_only else ():
        yield at_most(
            f"CPU µs an order, {name}, {conditions}",
            statistics.median(one.cpu_us[name] for one in duel.ours),
            most,
            ",.0f",
        )


def of_whole(record: Record) -> Iterator[Row]:
    """Yield the best of the whole network by pgbench with the most lines, which come closest to real baskets."""
    most = max((duel.lines for duel in record.duels), default=0)
    yardstick = [one.orders_per_s for duel in record.duels if duel.lines == most for one in duel.pgbench]
    if record.whole and yardstick:
        best = max(case.run.orders_per_s for case in record.whole) / statistics.median(yardstick)
        yield at_least(f"whole network ÷ pgbench with {most} lines", best, RATIO_WHOLE, ".2f")


def of_one_connection(cases: list[Case]) -> Iterator[Row]:
    """Yield the latency of an order that has the machine for itself."""
    for case in cases:
        if (case.connections, case.gateways) == (1, 1):
            yield at_most(
                "an order's three requests at one connection, p50 ms",
                case.run.tally.spread_ms["order"].p50,
                ONE_P50_MS,
                ".1f",
            )


def of_open_loops(record: Record) -> Iterator[Row]:
    """Yield latency at half the peak, and what is left of it under overload."""
    if record.half:
        p99 = max(record.half.run.tally.spread_ms[kind].p99 for kind in KINDS)
        yield at_most("a request at half the peak rate, p99 ms", p99, HALF_P99_MS, ".1f")
    if record.overload and record.peak:
        share = record.overload.run.orders_per_s / record.peak
        yield at_least("goodput at three times the peak, share of it", share, GOODPUT_SHARE, ".0%")
        if refused := record.overload.run.tally.refused_ms:
            yield at_most("a refusal at three times the peak, p99 ms", refused.p99, REFUSED_MS, ".1f")


def of_logins(cases: list[Case]) -> Iterator[Row]:
    """Yield what logins cost."""
    if len(cases) > 1:
        quiet, busy = (case.run.orders_per_s for case in cases)
        yield at_most("orders/s lost to two devices logging in without pause", 1.0 - busy / quiet, LOGIN_LOSS, ".0%")


def of_grown(found: list[Grown]) -> Iterator[Row]:
    """Yield what a hundred times the orders change, and how long the slowest list takes among them."""
    if len(found) > 1:
        least, most = found[0], found[-1]
        for name in MOST_US:
            grows = most.run.cpu_us[name] / least.run.cpu_us[name] - 1.0
            what = f"CPU an order, {name}: {most.orders:,} orders in the tables against {least.orders:,}"
            yield at_most(what, grows, MOST_GROWTH, "+.0%")
    for one in found[-1:]:
        slowest = max(one.looks_ms.values(), key=lambda spread: spread.p99)
        yield at_most(f"a look at orders among {one.orders:,}, p99 ms", slowest.p99, LOOK_P99_MS, ".1f")


def at_least(what: str, found: float, least: float, form: str) -> Row:
    """Return the row of a figure that should not be less."""
    return what, f"≥ {least:{form}}", f"{found:{form}}", "yes" if found >= least else "no"


def at_most(what: str, found: float, most: float, form: str) -> Row:
    """Return the row of a figure that should not be more."""
    return what, f"≤ {most:{form}}", f"{found:{form}}", "yes" if found <= most else "no"
