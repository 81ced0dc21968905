"""Tables of what an order's cost consists of: optimizations, building blocks, statements, functions, filled tables."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.cells import ORDER_PROCESSES, ResultTable, cpu_of, micros, order_latency, order_us
from bench.table_growth import ROWS_AN_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.record import Case, Record
    from bench.statement import BatchCost
    from bench.table_growth import TableGrowth

PROFILE_HEAD = ("own share", "own µs", "µs with callees", "calls and resumptions an order", "function")


def cost_part_tables(record: Record) -> Iterator[ResultTable]:
    """Yield the tables of each part that was measured."""
    if record.switched:
        yield switched_table(record.switched)
    if record.table_growth:
        yield from growth_tables(record.table_growth)
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
