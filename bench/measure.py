"""One run of the load against a gateway: what it told, and what every process spent meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import asyncpg
import msgspec
from msgspec import Struct

from bench.job import BEGAN, ENDED, Job, Line, Tally
from bench.proc import costs_s, rss_mib
from bench.stage import ROOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Watch = Callable[[Line], None]

SETTLE_S = 120.0
SILENT_S = 30.0  # the load tells a line every second
COUNTS = """
SELECT xact_commit AS commits, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS wal_bytes
  FROM pg_stat_database WHERE datname = current_database()
"""
OWED = """
SELECT (SELECT count(*) FROM receipt_outbox WHERE done_at IS NULL AND dead_at IS NULL)
     + (SELECT count(*) FROM grocery_orders WHERE intent IS NOT NULL OR ($1 AND status = 'PROCESSING'))
"""
COMPLETED = """
SELECT count(*) FILTER (WHERE status = 'COMPLETED') AS orders,
       extract(epoch FROM max(finished_at) - min(created_at))::float8 AS took_s FROM grocery_orders
"""


class Place(Struct, frozen=True):
    """Where a run happens: the gateway's database, processes by name, and what counts the violations it leaves."""

    dsn: str
    pids: dict[str, int]
    violations: Callable[[], Awaitable[int]]


class Run(Struct, frozen=True, kw_only=True):
    """The figures of one run. CPU is in µs for each order finished in the measured time."""

    orders_per_s: float
    tally: Tally
    cpu_us: dict[str, float]
    rss_before_mib: float
    rss_after_mib: float
    commits: float
    wal_bytes: float
    settled_s: float
    violations: int


def baskets_of(lines: int) -> list[list[tuple[str, int]]]:
    """Return baskets of so many lines: a hundred of them, of 200 products."""
    return [[(f"sku-{(turn * lines + line) % 200}", 1 + line % 3) for line in range(lines)] for turn in range(100)]


async def drive(job: Job, pids: Mapping[str, int], watch: Watch) -> tuple[Tally, dict[str, float]]:
    """Run the load as a process; returns its tally and the CPU seconds by process within the measured time.

    `watch` is told every line but the last, as it comes.
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
                raise RuntimeError("the load ended without a word")
            line = msgspec.json.decode(raw, type=Line)
            if line.event == BEGAN:
                before = costs_s(pids)
            elif line.event == ENDED:
                after = costs_s(pids)
            elif line.tally is not None:
                return line.tally, {name: after[name] - before[name] for name in after} | {"load": line.tally.cpu_s}
            watch(line)
    finally:
        await reap(process)


async def reap(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that was told to end; one that does not is killed."""
    try:
        async with asyncio.timeout(SILENT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def measure(place: Place, job: Job, watch: Watch) -> Run:
    """Load, let the gateway's own loops come to rest, audit.

    Where somebody else delivers the webhooks, what counts is all orders from the first preview to the last completion, and the
    CPU of all that time: completions lag behind confirms, and a window would count the one without the other.
    """
    gateways = [pid for name, pid in place.pids.items() if name.startswith("gateway")]
    connection = await asyncpg.connect(place.dsn)
    try:
        rss_before, first, before = sum(map(rss_mib, gateways)), await connection.fetchrow(COUNTS), costs_s(place.pids)
        tally, cost_s = await drive(job, place.pids, watch)
        rss_after = sum(map(rss_mib, gateways))
        settled_s = await settle(connection, robots=not job.delivers)
        orders, took_s = tally.orders, tally.took_s
        if not job.delivers:
            spent = {name: after - before[name] for name, after in costs_s(place.pids).items()}
            orders, took_s = await connection.fetchrow(COMPLETED) or (0, 0.0)
            cost_s = spent | {"load": tally.cpu_s * orders / max(1, tally.orders)}
        last = await connection.fetchrow(COUNTS)
    finally:
        await connection.close()
    assert first is not None
    assert last is not None
    every = max(1, tally.all_orders)
    return Run(
        orders_per_s=round(orders / took_s, 1) if took_s else 0.0,
        tally=tally,
        cpu_us={name: round(spent_s / max(1, orders) * 1e6, 1) for name, spent_s in cost_s.items()},
        rss_before_mib=round(rss_before, 1),
        rss_after_mib=round(rss_after, 1),
        commits=round((last["commits"] - first["commits"]) / every, 2),
        wal_bytes=round((last["wal_bytes"] - first["wal_bytes"]) / every),
        settled_s=round(settled_s, 1),
        violations=await place.violations(),
    )


async def settle(connection: asyncpg.Connection, *, robots: bool) -> float:
    """Wait until nothing is owed, with `robots` not by them either; returns the seconds it took, SETTLE_S at the most."""
    began = time.perf_counter()
    while time.perf_counter() - began < SETTLE_S and await connection.fetchval(OWED, robots):  # noqa: ASYNC110 - in the database
        await asyncio.sleep(0.2)
    return time.perf_counter() - began
