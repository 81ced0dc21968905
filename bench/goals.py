"""The performance goals, each with the measured figure and whether it is reached. A missed goal is not lowered."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.record import Case, Comparison, MailEffect, Record
    from bench.table_growth import TableGrowth

GOALS: Final = "Goals"
GOAL_HEAD: Final = ("figure", "goal", "measured", "reached")

PGBENCH_RATIO: Final = {64: 1.3}  # at least, by connections
# At most, by connections: CPU µs of an order by process, of the notifier for a receipt; latencies in ms.
CPU_US: Final = {64: {"gateway": 330.0, "postgresql": 190.0}, 8: {"gateway": 700.0}}
NOTIFIER_US: Final = {64: 250.0, 8: 400.0}
ORDER_P50_MS: Final = {8: 9.0, 1: 3.3}
P50_RATIO: Final = {1: 1.9}
HALF_P99_MS: Final = 25.0
GOODPUT_SHARE, REFUSED_P99_MS = 0.9, 30.0
LOGIN_LOSS: Final = 0.12
RSS_MIB: Final = 90.0
MAIL_P99_SHIFT: Final = 0.05
MAX_GROWTH, READ_P99_MS = 0.15, 10.0


class Goal(Struct, frozen=True):
    """A figure with its goal and measurement as text, and whether the goal is reached."""

    figure: str
    goal: str
    measured: str
    reached: bool

    @property
    def row(self) -> tuple[str, str, str, str]:
        """The cells of the table of goals."""
        return self.figure, self.goal, self.measured, "yes" if self.reached else "no"


def goals(record: Record) -> Iterator[Goal]:
    """Yield each goal whose figure was measured."""
    for row in sorted(record.single, key=lambda row: -row.connections):
        yield from row_goals(row)
    yield from open_loop_goals(record)
    yield from login_goals(record.logins)
    if record.mail:
        yield from mail_goals(record.mail)
    if record.single:
        most = max(run.rss_after_mib for row in record.single for run in row.runs)
        yield at_most("resident memory of the gateway's process after any closed loop, MiB", most, RSS_MIB, ".0f")
    yield from growth_goals(record.table_growth)
    if record.runs:
        yield at_most("receipts of completed orders that did not arrive", record.missing_receipts, 0, ".0f")
        yield at_most("violations found by the audits after all runs", record.violations, 0, ".0f")


def row_goals(row: Comparison) -> Iterator[Goal]:
    """Yield throughput, CPU and latency of the closed loop with one number of connections: medians of its rounds."""
    count = row.connections
    place = f"{count} connection{'s' * (count > 1)}"
    if count in PGBENCH_RATIO:
        yield at_least(f"{place}: orders/s ÷ pgbench", row.ratio, PGBENCH_RATIO[count], ".2f")
    for name, most in CPU_US.get(count, {}).items():
        spent_us = statistics.median(run.cpu_us[name] for run in row.runs)
        yield at_most(f"{place}: CPU µs an order, {name}", spent_us, most, ",.0f")
    per_receipt = [run.receipts.notifier_us for run in row.runs if run.receipts and run.receipts.notifier_us]
    if count in NOTIFIER_US and per_receipt:
        median_us = statistics.median(per_receipt)
        yield at_most(f"{place}: CPU µs a receipt, notifier", median_us, NOTIFIER_US[count], ",.0f")
    if count in ORDER_P50_MS:
        p50 = statistics.median(run.tally.latency_ms["order"].p50 for run in row.runs)
        yield at_most(f"{place}: an order's three requests, p50 ms", p50, ORDER_P50_MS[count], ".1f")
    if count in P50_RATIO:
        yield at_most(
            f"{place}: p50 of an order ÷ p50 of pgbench's three transactions", row.p50_ratio, P50_RATIO[count], ".2f"
        )


def open_loop_goals(record: Record) -> Iterator[Goal]:
    """Yield latency at half the peak rate, goodput and refusals at three times the peak rate."""
    if record.half:
        p99 = record.half.run.tally.latency_ms["order"].p99
        yield at_most("open loop at half the peak: an order, p99 ms", p99, HALF_P99_MS, ".1f")
    if record.overload and record.peak:
        share = record.overload.run.orders_per_s / record.peak
        yield at_least("open loop at three times the peak: goodput, share of the peak", share, GOODPUT_SHARE, ".0%")
        if refused := record.overload.run.tally.refused_ms:
            yield at_most("open loop at three times the peak: a refusal, p99 ms", refused.p99, REFUSED_P99_MS, ".1f")


def login_goals(cases: list[Case]) -> Iterator[Goal]:
    """Yield the share of orders lost to logins."""
    if len(cases) > 1:
        alone, beside_logins = (case.run.orders_per_s for case in cases)
        yield at_most(
            "orders/s lost to two devices logging in without pause", 1.0 - beside_logins / alone, LOGIN_LOSS, ".0%"
        )


def mail_goals(mail: MailEffect) -> Iterator[Goal]:
    """Yield how much a slow mail server and a burst of receipts lengthen an order's p99 at half the peak rate."""
    for figure, runs in (
        (f"a mail server that takes {mail.slow_s:g} s for a message", mail.slow),
        (f"{mail.burst:,} receipts due at once", mail.bursts),
    ):
        yield below(f"an order's p99, moved by {figure}", mail.p99_shift(runs), MAIL_P99_SHIFT, "+.0%")


def growth_goals(cases: list[TableGrowth]) -> Iterator[Goal]:
    """Yield how CPU grows with the orders in the tables, and the p99 of the slowest read with most of them."""
    if len(cases) > 1:
        least, most = cases[0], cases[-1]
        for name in ("gateway", "postgresql"):
            growth = most.run.cpu_us[name] / least.run.cpu_us[name] - 1.0
            figure = f"CPU an order, {name}: {most.orders:,} orders in the tables against {least.orders:,}"
            yield at_most(figure, growth, MAX_GROWTH, "+.0%")
    for case in cases[-1:]:
        slowest = max(case.read_ms.values(), key=lambda latency: latency.p99)
        yield at_most(
            f"slowest read of orders, {case.orders:,} orders in the tables, p99 ms", slowest.p99, READ_P99_MS, ".1f"
        )


def at_least(figure: str, measured: float, least: float, form: str) -> Goal:
    """Return a goal with a lower bound."""
    return Goal(figure, f"≥ {least:{form}}", f"{measured:{form}}", measured >= least)


def at_most(figure: str, measured: float, most: float, form: str) -> Goal:
    """Return a goal with an upper bound."""
    return Goal(figure, f"≤ {most:{form}}", f"{measured:{form}}", measured <= most)


def below(figure: str, measured: float, bound: float, form: str) -> Goal:
    """Return a goal with an upper bound that is not reached by its own value."""
    return Goal(figure, f"< {bound:{form}}", f"{measured:{form}}", measured < bound)
