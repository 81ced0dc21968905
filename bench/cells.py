"""A table of text, and the cells that several tables share."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.job import Latency, Tally
    from bench.measure import Run
    from bench.record import Case, Comparison

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


def order_us(run: Run) -> float:
    """Return the CPU µs of an order in gateway, notifier and PostgreSQL together."""
    return sum(run.cpu_us.get(name, 0.0) for name in ORDER_PROCESSES)


def cpu_of(row: Comparison, name: str) -> list[float]:
    """Return the CPU µs of an order in one process, by round of the gateway."""
    return [run.cpu_us[name] for run in row.runs]


def order_latency(case: Case) -> str:
    """Return the median and p99 of the sum of an order's requests."""
    latency = case.run.tally.latency_ms.get("order")
    return f"{latency.p50:.1f} / {latency.p99:.1f}" if latency else "none"


def failures(tally: Tally) -> str:
    """Return the number of responses without success, by kind and status."""
    return ", ".join(f"{kind}: {count:,}" for kind, count in sorted(tally.failures.items())) or "none"


def other_failures(tally: Tally) -> str:
    """Return the number of responses without success that are no refusals, by kind and status."""
    others = {kind: count for kind, count in tally.failures.items() if not kind.endswith((" 429", " 503"))}
    return ", ".join(f"{kind}: {count:,}" for kind, count in sorted(others.items())) or "none"


def spread_cells(latency: Latency) -> tuple[str, ...]:
    """Return count and percentiles."""
    return (
        f"{latency.count:,}",
        *(f"{one:.1f}" for one in (latency.p50, latency.p90, latency.p99, latency.p999, latency.maximum)),
    )


def percentiles(found: Sequence[Latency]) -> str:
    """Return the medians of the rounds' p50 and p99."""
    p50, p99 = (statistics.median(figures) for figures in zip(*((one.p50, one.p99) for one in found), strict=True))
    return f"{p50:.1f} / {p99:.1f}"


def receipt_cells(run: Run) -> tuple[str, str, str]:
    """Return how many receipts arrived, how many had not at the end of the load, and how long the last one took."""
    found = run.receipts
    if found is None:
        return "-", "-", "-"
    return f"{found.arrived:,} / {found.due:,}", f"{found.waiting:,}", f"{run.settled_s:.1f}"
