"""The recorded figures as tables of text, for the terminal and for the page."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct

from bench import model
from bench.goals import GOAL_HEAD, GOALS, goals
from bench.job import KINDS
from bench.table_growth import ROWS_AN_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.job import Latency, Tally
    from bench.measure import Run
    from bench.record import Case, Comparison, MailEffect, Record
    from bench.statement import BatchCost
    from bench.table_growth import TableGrowth

PROFILE_HEAD = ("own share", "own µs", "µs with callees", "calls and resumptions an order", "function")
CONDITIONS = ("connections", "gateways", "lines")
ORDER_PROCESSES = ("gateway", "notifier", "postgresql")  # what an order costs: `all` in the goals
PROCESSES = (
    *ORDER_PROCESSES,
    "password workers",
    "other children",
    "inventory",
    "pricing",
    "robots",
    "analytics",
    "mail sink",
    "load",
)


class ResultTable(Struct, frozen=True):
    """A table with a title, column names and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


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
    if record.switched:
        yield switched_table(record.switched)
    if record.table_growth:
        yield from growth_tables(record.table_growth)
    yield from cost_part_tables(record)
    yield ResultTable(GOALS, GOAL_HEAD, [goal.row for goal in goals(record)])


def cost_part_tables(record: Record) -> Iterator[ResultTable]:
    """Yield the parts of an order's cost: statements, building blocks, parts of a statement, functions."""
    if record.cost:
        rows: list[tuple[str, ...]] = [(query, f"{calls:g}") for query, calls in record.cost.statements.items()]
        yield ResultTable("Statements of an order, one order at a time", ("statement", "executions an order"), rows)
    if record.blocks:
        yield blocks_table(record)
    if record.batch_costs:
        yield batch_table(record.batch_costs)
    if record.profile:
        yield ResultTable(
            "Functions of the gateway, by cProfile, which adds overhead to calls", PROFILE_HEAD, record.profile
        )


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


def trimmed(table: ResultTable) -> ResultTable:
    """Return the table with each condition that has the same value in every row moved to the title."""
    same = [
        at for at, name in enumerate(table.head) if name in CONDITIONS and len({row[at] for row in table.rows}) == 1
    ]
    if not table.rows or not same:
        return table
    conditions = ", ".join(f"{table.head[at]} {table.rows[0][at]}" for at in same)
    kept = [at for at in range(len(table.head)) if at not in same]
    rows = [tuple(row[at] for at in kept) for row in table.rows]
    return ResultTable(f"{table.title} ({conditions})", tuple(table.head[at] for at in kept), rows)


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


def order_us(run: Run) -> float:
    """Return the CPU µs of an order in gateway, notifier and PostgreSQL together."""
    return sum(run.cpu_us.get(name, 0.0) for name in ORDER_PROCESSES)


def receipt_cells(run: Run) -> tuple[str, str, str]:
    """Return how many receipts arrived, how many had not at the end of the load, and how long the last one took."""
    found = run.receipts
    if found is None:
        return "-", "-", "-"
    return f"{found.arrived:,} / {found.due:,}", f"{found.waiting:,}", f"{run.settled_s:.1f}"


LATENCY_HEAD = (*CONDITIONS, "request", "count", "p50", "p90", "p99", "p99.9", "max")


def latency_rows(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Return a row for each kind of request of each case."""
    return [
        (*label(case), kind, *spread_cells(case.run.tally.latency_ms[kind]))
        for case in cases
        for kind in (*KINDS, "order")
        if kind in case.run.tally.latency_ms
    ]


def spread_cells(latency: Latency) -> tuple[str, ...]:
    """Return count and percentiles."""
    return (
        f"{latency.count:,}",
        *(f"{one:.1f}" for one in (latency.p50, latency.p90, latency.p99, latency.p999, latency.maximum)),
    )


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


def percentiles(found: Sequence[Latency]) -> str:
    """Return the medians of the rounds' p50 and p99."""
    p50, p99 = (statistics.median(figures) for figures in zip(*((one.p50, one.p99) for one in found), strict=True))
    return f"{p50:.1f} / {p99:.1f}"


def cpu_of(row: Comparison, name: str) -> list[float]:
    """Return the CPU µs of an order in one process, by round of the gateway."""
    return [run.cpu_us[name] for run in row.runs]


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


def switched_table(cases: Mapping[str, Case]) -> ResultTable:
    """Return the figures without each optimization."""
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{case.run.orders_per_s:,.0f}",
            *(micros(case.run.cpu_us.get(process)) for process in ORDER_PROCESSES),
            micros(order_us(case.run)),
            f"{case.run.commits:.2f}",
            order_latency(case),
        )
        for name, case in cases.items()
    ]
    head = (
        "without",
        "orders/s",
        "gateway µs",
        "notifier µs",
        "PostgreSQL µs",
        "all µs",
        "commits/order",
        "order p50 / p99, ms",
    )
    first = next(iter(cases.values()))
    return ResultTable(f"Without one optimization at a time, {first.connections} connections", head, rows)


def growth_tables(found: Sequence[TableGrowth]) -> Iterator[ResultTable]:
    """Yield the cost of an order and the latency of reads, by number of finished orders in the tables."""
    yield ResultTable(
        f"With finished orders in the tables, {ROWS_AN_ORDER} rows each",
        ("orders in the tables", "orders/s", "gateway µs", "PostgreSQL µs", "gateway RSS MiB", "violations"),
        [
            (
                f"{one.orders:,}",
                f"{one.run.orders_per_s:,.0f}",
                micros(one.run.cpu_us["gateway"]),
                micros(one.run.cpu_us["postgresql"]),
                f"{one.run.rss_before_mib:.0f} → {one.run.rss_after_mib:.0f}",
                str(one.run.violations),
            )
            for one in found
        ],
    )
    yield ResultTable(
        "Reads of orders, one request at a time: p50 / p99, ms",
        ("request", *(f"{one.orders:,} orders" for one in found)),
        [
            (kind, *(f"{one.read_ms[kind].p50:.1f} / {one.read_ms[kind].p99:.1f}" for one in found))
            for kind in found[0].read_ms
        ],
    )


def blocks_table(record: Record) -> ResultTable:
    """Return the CPU of the building blocks alone, compared with that of the gateway at the same concurrency."""
    rows: list[tuple[str, ...]] = [
        (
            block.name,
            str(block.times or "-"),
            f"{block.us:,.1f}",
            f"{block.times * block.us:,.0f}" if block.times else "-",
        )
        for block in record.blocks
    ]
    total_us = sum(block.times * block.us for block in record.blocks)
    rows.append(("all blocks", "", "", f"{total_us:,.0f}"))
    compared = [row for row in record.single if row.connections == record.block_connections]
    if compared:
        gateway_us = statistics.median(cpu_of(compared[0], "gateway"))
        rows += [
            (f"the gateway at {compared[0].connections} connections", "", "", f"{gateway_us:,.0f}"),
            ("difference: checks, objects, tasks, smaller batches", "", "", f"{gateway_us - total_us:,.0f}"),
        ]
    head = ("building block", "number an order", "CPU µs each", "CPU µs an order")
    return ResultTable("Building blocks of an order, each alone in a process", head, rows)


def batch_table(batches: Sequence[BatchCost]) -> ResultTable:
    """Return the µs of each part of PostgreSQL's statement, by kind of request."""
    parts = sorted(
        {part for batch in batches for part in batch.part_us},
        key=lambda part: (-sum(batch.part_us.get(part, 0.0) for batch in batches), part),
    )

    def row(label: str, each: Sequence[float]) -> tuple[str, ...]:
        return label, *(f"{us:.1f}" if us else "-" for us in each), f"{sum(each):.1f}"

    rows = [row(part, [batch.part_us.get(part, 0.0) for batch in batches]) for part in parts]
    rows.append(row("reads, locks and joins", [batch.total_us - sum(batch.part_us.values()) for batch in batches]))
    rows.append(row("all", [batch.total_us for batch in batches]))
    title = "Parts of PostgreSQL's batched statement, µs an order, by EXPLAIN ANALYZE, which adds overhead"
    return ResultTable(title, ("part", *(batch.kind for batch in batches), "an order"), rows)


def other_failures(tally: Tally) -> str:
    """Return the number of responses without success that are no refusals, by kind and status."""
    others = {kind: count for kind, count in tally.failures.items() if not kind.endswith((" 429", " 503"))}
    return ", ".join(f"{kind}: {count:,}" for kind, count in sorted(others.items())) or "none"


def failures(tally: Tally) -> str:
    """Return the number of responses without success, by kind and status."""
    return ", ".join(f"{kind}: {count:,}" for kind, count in sorted(tally.failures.items())) or "none"


def order_latency(case: Case) -> str:
    """Return the median and p99 of the sum of an order's requests."""
    latency = case.run.tally.latency_ms.get("order")
    return f"{latency.p50:.1f} / {latency.p99:.1f}" if latency else "none"


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


def label(case: Case) -> tuple[str, str, str]:
    """Return the conditions of a case: connections, gateways, lines."""
    return str(case.connections), str(case.gateways), f"{case.lines:g}"


def micros(spent: float | None) -> str:
    """Return µs as text, or a dash for None."""
    return "-" if spent is None else f"{spent:,.0f}"


def extent(figures: Sequence[float], form: str) -> str:
    """Return the median, with minimum and maximum if there are several figures."""
    if len(figures) == 1:
        return f"{figures[0]:{form}}"
    return f"{statistics.median(figures):{form}} ({min(figures):{form}} … {max(figures):{form}})"
