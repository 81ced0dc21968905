"""The recorded figures as tables of text, for the terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import model
from bench.cells import (
    CONDITIONS,
    PROCESSES,
    ResultTable,
    cpu_of,
    extent,
    failures,
    label,
    micros,
    order_latency,
    order_us,
    other_failures,
    percentiles,
    receipt_cells,
    spread_cells,
    trimmed,
)
from bench.cost_tables import cost_part_tables
from bench.goals import GOAL_HEAD, GOALS, goals
from bench.job import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.record import Case, Comparison, MailEffect, Record


def result_tables(record: Record) -> Iterator[ResultTable]:
    """Yield every table whose figures were recorded."""
    yield from map(trimmed, _untrimmed_tables(record))


def _untrimmed_tables(record: Record) -> Iterator[ResultTable]:
    if record.rows:
        yield pgbench_table(record.rows)
        yield from closed_tables(record)
    if record.whole:
        yield from by_connections("Closed loop, whole network with reference peers and instant robots", record.whole)
    yield from open_loop_tables(record)
    if record.logins:
        yield logins_table(record.logins)
    if record.mail:
        yield mail_table(record.mail)
    yield from cost_part_tables(record)
    yield ResultTable(GOALS, GOAL_HEAD, [goal.row for goal in goals(record)])


def closed_tables(record: Record) -> Iterator[ResultTable]:
    """Yield the figures of the closed loops and the cost model."""
    yield from by_connections("Closed loop, minimal peers", record.closed)
    single = [row.case for row in record.single]
    if not single:
        return
    yield ResultTable(
        "Bottleneck of the closed loops with one gateway, by the cost model",
        model.HEAD,
        model.bottlenecks(single, record.machine.cores),
    )
    largest = max(single, key=lambda case: case.connections)
    yield ResultTable(
        f"CPU that {model.RATE:,} orders/s need, by the cost model at {largest.connections} connections",
        model.RATE_HEAD,
        model.cost_at_rate(largest),
    )


def open_loop_tables(record: Record) -> Iterator[ResultTable]:
    """Yield the figures of the open loops at half the peak rate and at three times the peak rate."""
    if record.half:
        yield ResultTable(
            f"Open loop at half the peak rate, {record.half.rate:,.0f} orders/s due",
            LATENCY_HEAD,
            latency_rows([record.half]),
        )
    if record.overload:
        yield overload_table(record.overload, record.peak)
    if cases := [case for case in (record.half, record.overload) if case]:
        yield ResultTable(
            "Bottleneck of the open loops, by the cost model",
            ("orders/s due", "orders/s finished", "gateway µs an order", "PostgreSQL µs an order", *model.HEAD[1:]),
            [
                (
                    f"{case.rate:,.0f}",
                    f"{case.run.orders_per_s:,.0f}",
                    micros(case.run.cpu_us["gateway"]),
                    micros(case.run.cpu_us["postgresql"]),
                    *load[1:],
                )
                for case, load in zip(cases, model.bottlenecks(cases, record.machine.cores), strict=True)
            ],
        )


def by_connections(title: str, cases: Sequence[Case]) -> Iterator[ResultTable]:
    """Yield three tables: throughput, CPU by process, latency by kind of request."""
    yield ResultTable(
        f"{title}: throughput and receipts",
        (
            *CONDITIONS,
            "orders/s",
            "refusals",
            "other failures",
            "receipts arrived / due",
            "waiting at the end",
            "all arrived after, s",
            "commits/order",
            "WAL B/order",
            "gateway RSS MiB",
            "violations",
        ),
        [
            (
                *label(case),
                f"{case.run.orders_per_s:,.0f}",
                f"{case.run.refusals:,}",
                other_failures(case.run.tally),
                *receipt_cells(case.run),
                f"{case.run.commits:.2f}",
                f"{case.run.wal_bytes:,.0f}",
                f"{case.run.rss_before_mib:.0f} → {case.run.rss_after_mib:.0f}",
                str(case.run.violations),
            )
            for case in cases
        ],
    )
    shown = [name for name in PROCESSES if any(case.run.cpu_us.get(name) for case in cases)]
    yield ResultTable(
        f"{title}: CPU, µs an order (all: gateway, notifier and PostgreSQL)",
        (*CONDITIONS, "all", *shown, "notifier, a receipt"),
        [
            (
                *label(case),
                micros(order_us(case.run)),
                *(micros(case.run.cpu_us.get(name)) for name in shown),
                micros(case.run.receipts.notifier_us if case.run.receipts else None),
            )
            for case in cases
        ],
    )
    yield ResultTable(f"{title}: latency, ms", LATENCY_HEAD, latency_rows(cases))


LATENCY_HEAD = (*CONDITIONS, "request", "count", "p50", "p90", "p99", "p99.9", "max")


def latency_rows(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Return a row for each kind of request of each case."""
    return [
        (*label(case), kind, *spread_cells(case.run.tally.latency_ms[kind]))
        for case in cases
        for kind in (*KINDS, "order")
        if kind in case.run.tally.latency_ms
    ]


def pgbench_table(rows: Sequence[Comparison]) -> ResultTable:
    """Return orders a second, latency and PostgreSQL's CPU beside pgbench's: medians of the rounds."""
    head = (
        *CONDITIONS,
        "rounds",
        "pgbench orders/s",
        "gateway orders/s",
        "gateway ÷ pgbench",
        "order p50 / p99, ms: pgbench",
        "order p50 / p99, ms: gateway",
        "p50 ÷ pgbench",
        "refusals",
        "PostgreSQL µs: pgbench",
        "PostgreSQL µs: gateway",
    )
    cells: list[tuple[str, ...]] = [
        (
            *label(row.case),
            str(len(row.runs)),
            extent([result.orders_per_s for result in row.pgbench], ",.0f"),
            extent([run.orders_per_s for run in row.runs], ",.0f"),
            extent(row.ratios, ".2f"),
            percentiles([result.latency for result in row.pgbench]),
            percentiles([run.tally.latency_ms["order"] for run in row.runs]),
            f"{row.p50_ratio:.2f}",
            f"{sum(run.refusals for run in row.runs):,}",
            extent([result.postgresql_us for result in row.pgbench], ",.0f"),
            extent(cpu_of(row, "postgresql"), ",.0f"),
        )
        for row in rows
    ]
    return ResultTable("Closed loop beside pgbench: median (minimum … maximum) of the rounds", head, cells)


def mail_table(mail: MailEffect) -> ResultTable:
    """Return how an order's latency is moved by a slow mail server and by a burst of receipts."""
    kinds = {
        "usual": mail.usual,
        f"slow: {mail.slow_s:g} s a message": mail.slow,
        f"usual, {mail.burst:,} more receipts due at once": mail.bursts,
    }
    rows: list[tuple[str, ...]] = [
        (
            kind,
            extent([run.orders_per_s for run in runs], ",.0f"),
            extent([run.tally.latency_ms["order"].p50 for run in runs], ".1f"),
            extent([run.tally.latency_ms["order"].p99 for run in runs], ".1f"),
            f"{mail.p99_shift(runs):+.0%}" if runs is not mail.usual else "-",
            f"{sum(run.receipts.arrived for run in runs if run.receipts):,}",
        )
        for kind, runs in kinds.items()
    ]
    head = ("mail server", "orders/s", "order p50, ms", "order p99, ms", "p99 moved", "receipts arrived")
    title = f"Open loop at {mail.rate:,.0f} orders/s due, by what happens to the mail"
    return ResultTable(title, head, rows)


def overload_table(case: Case, peak: float) -> ResultTable:
    """Return goodput, refusals and latency at three times the peak rate."""
    tally, due = case.run.tally, (case.rate or 0.0)
    refused = tally.refused_ms
    return ResultTable(
        f"Overload, {due:,.0f} orders/s due",
        ("figure", "value"),
        [
            ("goodput, orders/s", f"{case.run.orders_per_s:,.0f}"),
            ("share of the closed-loop peak rate", f"{case.run.orders_per_s / peak:.0%}" if peak else "?"),
            (
                "refusals: p50 / p99 / max, ms",
                f"{refused.p50:.1f} / {refused.p99:.1f} / {refused.maximum:.1f}" if refused else "none",
            ),
            ("responses without success", failures(tally)),
            ("orders that found every connection busy / the queue full", f"{tally.late:,} / {tally.dropped:,}"),
            ("completed order: p50 / p99, ms", order_latency(case)),
        ],
    )


def logins_table(cases: Sequence[Case]) -> ResultTable:
    """Return the figures without and with devices that log in."""
    return ResultTable(
        "Devices that log in without pause, bcrypt at cost 12",
        ("devices logging in", "orders/s", "logins/s", "order p50 / p99, ms", "gateway µs", "password workers µs"),
        [
            (
                str(case.logins),
                f"{case.run.orders_per_s:,.0f}",
                f"{case.run.tally.logins / case.run.tally.took_s:.1f}",
                order_latency(case),
                micros(case.run.cpu_us["gateway"]),
                micros(case.run.cpu_us["password workers"]),
            )
            for case in cases
        ],
    )
