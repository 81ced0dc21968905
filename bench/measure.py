"""One run of the load generator against a gateway: its counts, and the CPU of every process meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import asyncpg
import msgspec
from msgspec import Struct

from bench.environment import ROOT
from bench.job import BEGAN, ENDED, Job, LoadEvent, Tally
from bench.proc import cpu_by_name_s, rss_mib

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    OnEvent = Callable[[LoadEvent], None]

IDLE_WAIT_S = 120.0
SILENT_S = 30.0  # the load generator writes an event every second
COUNTS = """
SELECT xact_commit AS commits, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS wal_bytes
  FROM pg_stat_database WHERE datname = current_database()
"""
PENDING = """
SELECT (SELECT count(*) FROM receipt_outbox WHERE done_at IS NULL AND dead_at IS NULL)
     + (SELECT count(*) FROM grocery_orders WHERE intent IS NOT NULL OR ($1 AND status = 'PROCESSING'))
"""
COMPLETED = """
SELECT count(*) FILTER (WHERE status = 'COMPLETED') AS orders,
       extract(epoch FROM max(finished_at) - min(created_at))::float8 AS took_s FROM grocery_orders
"""


class LoadTarget(Struct, frozen=True):
    """What a run loads: the gateway's database, processes by name, and the audit that counts violations afterwards."""

    dsn: str
    pids: dict[str, int]
    violations: Callable[[], Awaitable[int]]


class Run(Struct, frozen=True, kw_only=True):
    """The figures of one run.

    `cpu_us`: of each process, for an order that finished in the measured time. `commits`, `wal_bytes`: for an order.
    `settled_s`: until no order was pending.
    """

    orders_per_s: float
    tally: Tally
    cpu_us: dict[str, float]
    rss_before_mib: float
    rss_after_mib: float
    commits: float
    wal_bytes: float
    settled_s: float
    violations: int


def make_baskets(lines: int) -> list[list[tuple[str, int]]]:
    """Return 100 baskets of `lines` lines each, of 200 products, as pairs of SKU and quantity."""
    return [[(f"sku-{(turn * lines + line) % 200}", 1 + line % 3) for line in range(lines)] for turn in range(100)]


async def run_load(job: Job, pids: Mapping[str, int], on_event: OnEvent) -> tuple[Tally, dict[str, float]]:
    """Run the load generator; returns its tally, and the CPU seconds by process within the measured time.

    `on_event` is called with every event but the last. Raises RuntimeError if the load generator ends without result.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    try:
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        await process.stdin.drain()
        while True:
            async with asyncio.timeout(job.warm_up_s + SILENT_S):
                raw = await process.stdout.readline()
            if not raw:
                raise RuntimeError("the load generator ended without a result")
            event = msgspec.json.decode(raw, type=LoadEvent)
            if event.kind == BEGAN:
                before = cpu_by_name_s(pids)
            elif event.kind == ENDED:
                after = cpu_by_name_s(pids)
            elif event.tally is not None:
                return event.tally, {name: after[name] - before[name] for name in after} | {"load": event.tally.cpu_s}
            on_event(event)
    finally:
        await reap(process)


async def reap(process: asyncio.subprocess.Process) -> None:
    """Wait until a process ends; kill it after SILENT_S."""
    try:
        async with asyncio.timeout(SILENT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def measure(target: LoadTarget, job: Job, on_event: OnEvent) -> Run:
    """Run the load generator, wait until the gateway is idle, audit.

    Where inventory sends the webhooks, all orders from the first preview to the last completion count, with the CPU of
    that whole time: completions lag behind confirms, so a shorter time would count confirms without their completions.
    """
    gateways = [pid for name, pid in target.pids.items() if name.startswith("gateway")]
    connection = await asyncpg.connect(target.dsn)
    try:
        rss_before, first, before = (
            sum(map(rss_mib, gateways)),
            await connection.fetchrow(COUNTS),
            cpu_by_name_s(target.pids),
        )
        tally, cost_s = await run_load(job, target.pids, on_event)
        rss_after = sum(map(rss_mib, gateways))
        settled_s = await wait_until_idle(connection, robots=not job.sends_webhooks)
        orders, took_s = tally.orders, tally.took_s
        if not job.sends_webhooks:
            spent = {name: after - before[name] for name, after in cpu_by_name_s(target.pids).items()}
            orders, took_s = await connection.fetchrow(COMPLETED) or (0, 0.0)
            cost_s = spent | {"load": tally.cpu_s * orders / max(1, tally.orders)}
        last = await connection.fetchrow(COUNTS)
    finally:
        await connection.close()
    assert first is not None
    assert last is not None
    all_orders = max(1, tally.all_orders)
    return Run(
        orders_per_s=round(orders / took_s, 1) if took_s else 0.0,
        tally=tally,
        cpu_us={name: round(spent_s / max(1, orders) * 1e6, 1) for name, spent_s in cost_s.items()},
        rss_before_mib=round(rss_before, 1),
        rss_after_mib=round(rss_after, 1),
        commits=round((last["commits"] - first["commits"]) / all_orders, 2),
        wal_bytes=round((last["wal_bytes"] - first["wal_bytes"]) / all_orders),
        settled_s=round(settled_s, 1),
        violations=await target.violations(),
    )


async def wait_until_idle(connection: asyncpg.Connection, *, robots: bool) -> float:
    """Wait until no call or mail is pending, with `robots` no order either; returns the seconds (up to IDLE_WAIT_S)."""
    began = time.perf_counter()
    give_up_at = began + IDLE_WAIT_S
    while time.perf_counter() < give_up_at and await connection.fetchval(PENDING, robots):  # noqa: ASYNC110 - a query
        await asyncio.sleep(0.2)
    return time.perf_counter() - began
