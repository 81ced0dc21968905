"""The figures as tables, the same for the screen and for the page: a title, a head and rows of text."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct

from bench import model
from bench.goals import GOAL_HEAD, GOALS, goals
from bench.grown import ROWS_AN_ORDER
from bench.job import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.grown import Grown
    from bench.job import Spread, Tally
    from bench.record import Case, Duel, Record
    from bench.statement import Share

PROFILE_HEAD = ("own share", "own µs", "µs with callees", "calls and resumptions an order", "function")
CONDITIONS = ("connections", "gateways", "lines", "peers")
PROCESSES = ("gateway", "password workers", "postgresql", "inventory", "pricing", "robots", "analytics", "load")


class Sheet(Struct, frozen=True):
    """One table."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def sheets(record: Record) -> Iterator[Sheet]:
    """Yield every table that there are figures for."""
    yield from map(trimmed, _sheets(record))


def _sheets(record: Record) -> Iterator[Sheet]:
    if record.closed:
        yield from closed_sheets(record)
    if record.whole:
        yield from by_connections("Closed loop, the whole network with its own peers and instant robots", record.whole)
    if record.duels:
        yield from duel_sheets(record.duels)
    yield from open_sheets(record)
    if record.logins:
        yield logins_sheet(record.logins)
    if record.switched:
        yield switched_sheet(record.switched)
    if record.grown:
        yield from grown_sheets(record.grown)
    yield from why_sheets(record)
    yield Sheet(GOALS, GOAL_HEAD, list(goals(record)))


def why_sheets(record: Record) -> Iterator[Sheet]:
    """Yield what the figures are made of: statements, building blocks, rows, functions."""
    if record.cost:
        rows: list[tuple[str, ...]] = [(query, f"{calls:g}") for query, calls in record.cost.statements.items()]
        yield Sheet("Statements of an order, one order after the other", ("statement", "executions an order"), rows)
    if record.blocks:
        yield blocks_sheet(record)
    if record.shares:
        yield shares_sheet(record.shares)
    if record.profile:
        yield Sheet(
            "Where the gateway's time goes, under cProfile, which makes calls dearer", PROFILE_HEAD, record.profile
        )


def closed_sheets(record: Record) -> Iterator[Sheet]:
    """Yield what closed loops make, and what the cost model says of it."""
    yield from by_connections("Closed loop, featherweight peers", record.closed)
    single = [case for case in record.closed if case.gateways == 1]
    yield Sheet(
        "The cost model held against the closed loops of one gateway",
        model.HEAD,
        model.limits(single, record.machine.cores),
    )
    largest = max(single, key=lambda case: case.connections)
    yield Sheet(
        f"What {model.RATE:,} orders a second take, by the model at {largest.connections} connections",
        model.RATE_HEAD,
        model.at_rate(largest),
    )


def open_sheets(record: Record) -> Iterator[Sheet]:
    """Yield what orders that come by the clock meet, at half the peak and beyond it."""
    if record.half:
        yield Sheet(
            f"Open loop at half the peak, {record.half.rate:,.0f} orders/s due",
            LATENCY_HEAD,
            latency_rows([record.half]),
        )
    if record.overload:
        yield overload_sheet(record.overload, record.peak)
    if cases := [case for case in (record.half, record.overload) if case]:
        yield Sheet(
            "What is at work in the open loops",
            ("orders/s due", "orders/s finished", "gateway µs an order", "PostgreSQL µs an order", *model.HEAD[1:]),
            [
                (
                    f"{case.rate:,.0f}",
                    f"{case.run.orders_per_s:,.0f}",
                    micros(case.run.cpu_us["gateway"]),
                    micros(case.run.cpu_us["postgresql"]),
                    *told[1:],
                )
                for case, told in zip(cases, model.limits(cases, record.machine.cores), strict=True)
            ],
        )


def trimmed(sheet: Sheet) -> Sheet:
    """Return the sheet with conditions that are the same in every row told once, in its title."""
    same = [
        at for at, name in enumerate(sheet.head) if name in CONDITIONS and len({row[at] for row in sheet.rows}) == 1
    ]
    if not sheet.rows or not same:
        return sheet
    told = ", ".join(f"{sheet.head[at]} {sheet.rows[0][at]}" for at in same)
    kept = [at for at in range(len(sheet.head)) if at not in same]
    rows = [tuple(row[at] for at in kept) for row in sheet.rows]
    return Sheet(f"{sheet.title} ({told})", tuple(sheet.head[at] for at in kept), rows)


def by_connections(title: str, cases: Sequence[Case]) -> Iterator[Sheet]:
    """Yield three tables: throughput and cost, CPU by process, latency by request."""
    yield Sheet(
        f"{title}: throughput and cost",
        (
            "connections",
            "gateways",
            "lines",
            "peers",
            "orders/s",
            "commits/order",
            "WAL B/order",
            "gateway RSS MiB",
            "no success",
            "violations",
        ),
        [
            (
                *label(case),
                f"{case.run.orders_per_s:,.0f}",
                f"{case.run.commits:.2f}",
                f"{case.run.wal_bytes:,.0f}",
                f"{case.run.rss_before_mib:.0f} → {case.run.rss_after_mib:.0f}",
                no_success(case.run.tally),
                str(case.run.violations),
            )
            for case in cases
        ],
    )
    shown = [name for name in PROCESSES if any(name in case.run.cpu_us for case in cases)]
    yield Sheet(
        f"{title}: CPU, µs an order",
        ("connections", "gateways", "lines", "peers", *shown, "all but load"),
        [
            (
                *label(case),
                *(micros(case.run.cpu_us.get(name)) for name in shown),
                micros(sum(spent for name, spent in case.run.cpu_us.items() if name != "load")),
            )
            for case in cases
        ],
    )
    yield Sheet(f"{title}: latency, ms", LATENCY_HEAD, latency_rows(cases))


LATENCY_HEAD = ("connections", "gateways", "lines", "peers", "request", "count", "p50", "p90", "p99", "p99.9", "most")


def latency_rows(cases: Sequence[Case]) -> list[tuple[str, ...]]:
    """Return a row for each kind of request of each case."""
    return [
        (*label(case), kind, *spread_cells(case.run.tally.spread_ms[kind]))
        for case in cases
        for kind in (*KINDS, "order")
        if kind in case.run.tally.spread_ms
    ]


def spread_cells(spread: Spread) -> tuple[str, ...]:
    """Return count and percentiles."""
    return (
        f"{spread.count:,}",
        *(f"{one:.1f}" for one in (spread.p50, spread.p90, spread.p99, spread.p999, spread.most)),
    )


def duel_sheets(duels: Sequence[Duel]) -> Iterator[Sheet]:
    """Yield orders a second and CPU beside pgbench's; the CPU's ratio holds on a busy machine too."""
    conditions = ("connections", "lines", "peers")
    told = [(str(duel.connections), str(duel.lines), duel.peers) for duel in duels]
    head: tuple[str, ...] = (*conditions, "rounds", "pgbench orders/s", "ours orders/s", "ours ÷ pgbench")
    rows: list[tuple[str, ...]] = [
        (
            *who,
            str(len(duel.ours)),
            extent([one.orders_per_s for one in duel.pgbench], ",.0f"),
            extent([one.orders_per_s for one in duel.ours], ",.0f"),
            extent(duel.ratios, ".2f"),
        )
        for who, duel in zip(told, duels, strict=True)
    ]
    yield Sheet("Beside pgbench: medians, with the least and the most of the rounds", head, rows)
    head = (
        *conditions,
        "pgbench's PostgreSQL",
        "our PostgreSQL",
        "ours ÷ pgbench's",
        "our gateway",
        "pgbench's all",
        "our all",
    )
    rows = [
        (
            *who,
            extent([one.postgresql_us for one in duel.pgbench], ",.0f"),
            extent(cpu_of(duel, "postgresql"), ",.0f"),
            extent(
                [our / one.postgresql_us for our, one in zip(cpu_of(duel, "postgresql"), duel.pgbench, strict=True)],
                ".2f",
            ),
            extent(cpu_of(duel, "gateway"), ",.0f"),
            extent([one.postgresql_us + one.pgbench_us for one in duel.pgbench], ",.0f"),
            extent([sum(one.cpu_us.values()) for one in duel.ours], ",.0f"),
        )
        for who, duel in zip(told, duels, strict=True)
    ]
    yield Sheet("Beside pgbench: CPU, µs an order (all: with clients, load and peers)", head, rows)


def cpu_of(duel: Duel, name: str) -> list[float]:
    """Return the CPU of an order of ours, round by round."""
    return [one.cpu_us[name] for one in duel.ours]


def overload_sheet(case: Case, peak: float) -> Sheet:
    """Say what is left when three times too much comes."""
    tally, due = case.run.tally, (case.rate or 0.0)
    refused = tally.refused_ms
    return Sheet(
        f"Overload, {due:,.0f} orders/s due",
        ("figure", "value"),
        [
            ("goodput, orders/s", f"{case.run.orders_per_s:,.0f}"),
            ("share of the closed-loop peak", f"{case.run.orders_per_s / peak:.0%}" if peak else "?"),
            (
                "refusals: p50 / p99 / most, ms",
                f"{refused.p50:.1f} / {refused.p99:.1f} / {refused.most:.1f}" if refused else "none",
            ),
            ("answers that were no success", no_success(tally)),
            ("orders that found every connection busy / too many waiting", f"{tally.late:,} / {tally.dropped:,}"),
            ("an order that got through: p50 / p99, ms", order_spread(case)),
        ],
    )


def switched_sheet(cases: Mapping[str, Case]) -> Sheet:
    """Say what each gain is worth."""
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{case.run.orders_per_s:,.0f}",
            *(micros(case.run.cpu_us[one]) for one in ("gateway", "postgresql")),
            micros(sum(case.run.cpu_us.values())),
            f"{case.run.commits:.2f}",
            order_spread(case),
        )
        for name, case in cases.items()
    ]
    head = ("without", "orders/s", "gateway µs", "PostgreSQL µs", "all µs", "commits/order", "order p50 / p99, ms")
    some = next(iter(cases.values()))
    return Sheet(f"Without one gain at a time, {some.connections} connections", head, rows)


def grown_sheets(found: Sequence[Grown]) -> Iterator[Sheet]:
    """Yield what an order costs with a year's orders in the tables, and how long looking at orders takes then."""
    yield Sheet(
        f"Beside finished orders, {ROWS_AN_ORDER} rows each",
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
    yield Sheet(
        "Looking at orders, one request at a time: p50 / p99, ms",
        ("request", *(f"{one.orders:,} orders" for one in found)),
        [
            (kind, *(f"{one.looks_ms[kind].p50:.1f} / {one.looks_ms[kind].p99:.1f}" for one in found))
            for kind in found[0].looks_ms
        ],
    )


def blocks_sheet(record: Record) -> Sheet:
    """Set what the building blocks cost alone against what the gateway costs under as much load."""
    rows: list[tuple[str, ...]] = [
        (
            block.name,
            str(block.times or "-"),
            f"{block.us:,.1f}",
            f"{block.times * block.us:,.0f}" if block.times else "-",
        )
        for block in record.blocks
    ]
    together = sum(block.times * block.us for block in record.blocks)
    rows.append(("all of them", "", "", f"{together:,.0f}"))
    if record.duels:
        spent = statistics.median(cpu_of(record.duels[0], "gateway"))
        rows += [
            (f"the gateway at {record.duels[0].connections} connections", "", "", f"{spent:,.0f}"),
            ("what the actions add: checks, objects, tasks, smaller batches", "", "", f"{spent - together:,.0f}"),
        ]
    head = ("building block", "times an order", "CPU µs each", "CPU µs an order")
    return Sheet("What an order's building blocks cost a process that does nothing else", head, rows)


def shares_sheet(shares: Sequence[Share]) -> Sheet:
    """Say where PostgreSQL's time goes, by kind of request."""
    parts = sorted(
        {part for share in shares for part in share.of_it_us},
        key=lambda part: (-sum(share.of_it_us.get(part, 0.0) for share in shares), part),
    )

    def row(what: str, each: Sequence[float]) -> tuple[str, ...]:
        return what, *(f"{us:.1f}" if us else "-" for us in each), f"{sum(each):.1f}"

    rows = [row(part, [share.of_it_us.get(part, 0.0) for share in shares]) for part in parts]
    rows.append(row("reading, locking, joining", [share.all_us - sum(share.of_it_us.values()) for share in shares]))
    rows.append(row("all", [share.all_us for share in shares]))
    title = "Where PostgreSQL's time goes in a batch, µs an order, under EXPLAIN ANALYZE, which makes it dearer"
    return Sheet(title, ("part", *(share.kind for share in shares), "an order"), rows)


def no_success(tally: Tally) -> str:
    """Return the answers that were no success, by kind and status."""
    return ", ".join(f"{what}: {count:,}" for what, count in sorted(tally.other.items())) or "none"


def order_spread(case: Case) -> str:
    """Return the median and p99 of an order's requests together."""
    spread = case.run.tally.spread_ms.get("order")
    return f"{spread.p50:.1f} / {spread.p99:.1f}" if spread else "none"


def logins_sheet(cases: Sequence[Case]) -> Sheet:
    """Say what logins leave of the orders."""
    return Sheet(
        "Devices that log in without pause, bcrypt at cost 12",
        ("devices logging in", "orders/s", "logins/s", "order p50 / p99, ms", "gateway µs", "password workers µs"),
        [
            (
                str(case.logins),
                f"{case.run.orders_per_s:,.0f}",
                f"{case.run.tally.logins / case.run.tally.took_s:.1f}",
                order_spread(case),
                micros(case.run.cpu_us["gateway"]),
                micros(case.run.cpu_us["password workers"]),
            )
            for case in cases
        ],
    )


def label(case: Case) -> tuple[str, str, str, str]:
    """Return the conditions of a case."""
    return str(case.connections), str(case.gateways), f"{case.lines:g}", case.peers


def micros(spent: float | None) -> str:
    """Return µs, or a dash where there is no such process."""
    return "-" if spent is None else f"{spent:,.0f}"


def extent(figures: Sequence[float], form: str) -> str:
    """Return the median, with least and most."""
    return f"{statistics.median(figures):{form}} ({min(figures):{form}} … {max(figures):{form}})"
