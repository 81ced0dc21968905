"""Figures as a run of the benchmark would record them, for tests of its goals, tables and page."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.blocks import Block
from bench.job import KINDS, Latency, Tally
from bench.measure import Receipts, Run
from bench.order_cost import OrderCost
from bench.pgbench import PgbenchResult
from bench.proc import Machine
from bench.record import Case, Comparison, MailEffect, Record
from bench.statement import BatchCost
from bench.table_growth import TableGrowth

CPU_US = {
    "gateway": 300.0,
    "notifier": 200.0,
    "password workers": 0.0,
    "postgresql": 180.0,
    "inventory": 50.0,
    "pricing": 50.0,
    "load": 60.0,
}


def latency(p50: float, p99: float) -> Latency:
    return Latency(1_000, p50, (p50 + p99) / 2, p99, p99, p99)


def tally(p50: float = 8.0, p99: float = 20.0, **wanted: Any) -> Tally:
    """Return a tally of 1,000 orders in a second, whose latency of an order is `p50` and `p99` ms."""
    defaults: dict[str, Any] = {
        "took_s": 1.0,
        "orders": 1_000,
        "all_orders": 1_000,
        "begun": 1_000,
        "latency_ms": {**{kind: latency(p50 / 3, p99 / 3) for kind in KINDS}, "order": latency(p50, p99)},
        "failures": {},
        "refused_ms": None,
        "late": 0,
        "dropped": 0,
        "logins": 0,
        "cpu_s": 0.06,
    }
    return Tally(**(defaults | wanted))


def run(orders_per_s: float = 1_000.0, p50: float = 8.0, p99: float = 20.0, **wanted: Any) -> Run:
    """Return a run without violations whose receipts all arrived."""
    defaults: dict[str, Any] = {
        "orders_per_s": orders_per_s,
        "tally": tally(p50, p99),
        "cpu_us": CPU_US,
        "rss_before_mib": 60.0,
        "rss_after_mib": 70.0,
        "commits": 0.1,
        "wal_bytes": 3_000,
        "settled_s": 0.5,
        "violations": 0,
        "receipts": Receipts(due=1_000, arrived=1_000, repeated=0, waiting=3, notifier_us=200.0),
    }
    return Run(**(defaults | wanted))


def row(connections: int, *runs: Run, pgbench_per_s: float = 700.0, gateways: int = 1, lines: int = 3) -> Comparison:
    """Return a row in which each of `runs` is beside a run of pgbench with a p50 of 4 ms."""
    beside = [PgbenchResult(pgbench_per_s, latency(4.0, 9.0), 600.0, 50.0) for _ in runs]
    return Comparison(connections=connections, gateways=gateways, lines=lines, pgbench=beside, runs=list(runs))


def record(**parts: Any) -> Record:
    """Return a record with the given parts."""
    machine = Machine(2, "a processor", 4.0, "Linux 6", "3.11.2", "16.1", "GCC 12, -O2", {"uvloop": "0.22.1"})
    durable = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    return Record(
        at="2026-01-02", machine=machine, durable=durable, load_average=0.1, seconds=3.0, settings={}, **parts
    )


def record_with_row(connections: int, *, orders_per_s: float, pgbench_per_s: float = 700.0) -> Record:
    """Return a record with one row."""
    return record(rows=[row(connections, run(orders_per_s), pgbench_per_s=pgbench_per_s)])


def short_record() -> Record:
    """Return a record of all parts of the short form."""
    refused = latency(2.0, 25.0)
    case = Case(connections=256, gateways=1, lines=3, run=run(), rate=500.0)
    overloaded = run(950.0, tally=tally(refused_ms=refused, failures={"preview 503": 1_000}))
    return record(
        rows=[row(count, run()) for count in (1, 8, 64)],
        half=case,
        overload=msgspec.structs.replace(case, run=overloaded, rate=3_000.0),
        logins=[msgspec.structs.replace(case, logins=count, run=run(1_000.0 - 50 * count)) for count in (0, 2)],
        mail=MailEffect(
            connections=256,
            lines=3,
            rate=500.0,
            slow_s=1.0,
            burst=1_000,
            usual=[run()],
            slow=[run(p99=20.2)],
            bursts=[run(p99=22.0)],
        ),
    )


def full_record() -> Record:
    """Return a record of all parts."""
    found = short_record()
    assert found.half is not None
    return msgspec.structs.replace(
        found,
        whole=[found.half],
        switched={"as it is": found.half, "group commit": found.half},
        table_growth=[
            TableGrowth(orders=count, run=run(), read_ms={"last order": latency(1, 2)}) for count in (10, 99)
        ],
        cost=OrderCost(2.0, 1.0, {"SELECT 1": 1.0}, 0),
        profile=[("1.0%", "2.0", "3.0", "1.00", "a_function")],
        blocks=[Block("a request", 3, 40.0)],
        block_connections=64,
        batch_costs=[BatchCost("preview", 30.0, {"INSERT order_lines": 10.0})],
    )
