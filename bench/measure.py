"""One run of the load generator against a gateway: its counts, the CPU of every process, and every receipt."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec
from msgspec import Struct

from bench.job import BEGAN, ENDED, Job, LoadEvent, Tally
from bench.mail_sink import MailSink, SinkCommand, SinkCounts
from bench.proc import cpu_by_name_s, rss_mib
from bench.processes import open_module, read_line, write_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    OnEvent = Callable[[LoadEvent], None]
    Hooks = Mapping[str, Callable[[], Awaitable[object]]]

IDLE_WAIT_S: Final = 60.0
POLL_S, LOOK_S = 0.1, 2.0
SILENT_S: Final = 30.0  # the load generator writes an event every second
# Their work for an order goes on after its last response, so it is counted until the last receipt has arrived.
LAGGING: Final = ("postgresql", "notifier", "mail sink")
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
    """What a run loads: the gateway's database, processes by name, and the audit that counts violations afterwards.

    `sink`: the server to which receipts are sent; None if devices have no e-mail address.
    """

    dsn: str
    pids: dict[str, int]
    violations: Callable[[], Awaitable[int]]
    sink: MailSink | None = None


class Receipts(Struct, frozen=True, kw_only=True):
    """The receipts of a run's completed orders.

    `due`: how many were to be sent. `arrived`: how many of them the mail server received before the wait ended.
    `repeated`: messages beyond one a receipt. `waiting`: completed orders whose receipt had not arrived when the
    measured time ended. `notifier_us`: CPU of the notifier's process for one receipt; None if no such process runs.
    """

    due: int
    arrived: int
    repeated: int
    waiting: int
    notifier_us: float | None = None

    @property
    def missing(self) -> int:
        """Receipts that did not arrive."""
        return max(0, self.due - self.arrived)


class Run(Struct, frozen=True, kw_only=True):
    """The figures of one run.

    `cpu_us`: of each process, for an order: of the processes LAGGING from the start of the measured time until the last
    receipt has arrived, for an order of that whole time; of the others within the measured time, for an order of it.
    `rss_*`: of the gateways' processes without their children. `commits`, `wal_bytes`: for an order. `settled_s`: until
    no order was pending and every receipt had arrived.
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
    receipts: Receipts | None = None

    @property
    def missing_receipts(self) -> int:
        """Receipts that did not arrive, 0 without a mail server."""
        return self.receipts.missing if self.receipts else 0

    @property
    def refusals(self) -> int:
        """Responses 429 and 503 within the measured time."""
        return self.tally.refused_ms.count if self.tally.refused_ms else 0


class Snapshot(Struct, frozen=True):
    """CPU seconds by process and the mail server's counts at one instant."""

    cpu_s: dict[str, float]
    mail: SinkCounts | None = None


class Load(Struct, frozen=True):
    """The tally of a load generator, with snapshots at begin and end of its measured time."""

    tally: Tally
    began: Snapshot
    ended: Snapshot


def make_baskets(lines: int) -> list[list[tuple[str, int]]]:
    """Return 100 baskets of `lines` lines each, of 200 products, as pairs of SKU and quantity."""
    return [[(f"sku-{(turn * lines + line) % 200}", 1 + line % 3) for line in range(lines)] for turn in range(100)]


async def take_snapshot(pids: Mapping[str, int], sink: MailSink | None = None) -> Snapshot:
    """Return what every process has used so far, and what the mail server has received."""
    return Snapshot(cpu_by_name_s(pids), await sink.counts() if sink else None)


async def run_load(
    job: Job, pids: Mapping[str, int], on_event: OnEvent, sink: MailSink | None = None, hooks: Hooks | None = None
) -> Load:
    """Run the load generator.

    `on_event` is called with every event but the last, and after BEGAN and ENDED the function of `hooks` with that name
    is awaited. Raises RuntimeError if the load generator ends without result, TimeoutError if it falls silent.
    """
    snapshots: dict[str, Snapshot] = {}
    async with open_module("bench.load") as process:
        await write_line(process, msgspec.json.encode(job))
        while True:
            event = msgspec.json.decode(await read_line(process, job.warm_up_s + SILENT_S), type=LoadEvent)
            if event.tally is not None:
                return Load(event.tally, snapshots[BEGAN], snapshots[ENDED])
            if event.kind in {BEGAN, ENDED}:
                snapshots[event.kind] = await take_snapshot(pids, sink)
                if hooks and event.kind in hooks:
                    await hooks[event.kind]()
            on_event(event)


async def measure(
    target: LoadTarget, job: Job, on_event: OnEvent, *, hooks: Hooks | None = None, more_receipts: int = 0
) -> Run:
    """Run the load generator, wait until every receipt has arrived and the gateway is idle, audit.

    `hooks`: see `run_load`. `more_receipts`: how many become due beside those of this run's orders.

    Where inventory sends the webhooks, all orders from the first preview to the last completion count, with the CPU of
    that whole time: completions lag behind confirms, so a shorter time would count confirms without their completions.
    """
    gateways = [pid for name, pid in target.pids.items() if name.startswith("gateway")]
    connection = await asyncpg.connect(target.dsn)
    try:
        if target.sink:
            await target.sink.command(SinkCommand(forget=True))
        completed_before, _ = await _completed(connection)
        rss_before, first, start = (
            sum(map(rss_mib, gateways)),
            await connection.fetchrow(COUNTS),
            await take_snapshot(target.pids, target.sink),
        )
        load = await run_load(job, target.pids, on_event, target.sink, hooks)
        rss_after = sum(map(rss_mib, gateways))
        receipts_before = completed_before - more_receipts
        settled_s = await wait_until_idle(connection, target.sink, receipts_before, robots=not job.sends_webhooks)
        settled = await take_snapshot(target.pids, target.sink)
        completed, took_s = await _completed(connection)
        last = await connection.fetchrow(COUNTS)
    finally:
        await connection.close()
    assert first is not None
    assert last is not None
    tally = load.tally
    orders, cpu_us = tally.orders, cpu_of_order_us(load, settled)
    if job.sends_webhooks:
        took_s = tally.took_s
    else:
        orders, cpu_us = completed, cpu_of_network_us(start, settled, tally, completed)
    all_orders = max(1, tally.all_orders)
    return Run(
        orders_per_s=round(orders / took_s, 1) if took_s else 0.0,
        tally=tally,
        cpu_us=cpu_us,
        rss_before_mib=round(rss_before, 1),
        rss_after_mib=round(rss_after, 1),
        commits=round((last["commits"] - first["commits"]) / all_orders, 2),
        wal_bytes=round((last["wal_bytes"] - first["wal_bytes"]) / all_orders),
        settled_s=round(settled_s, 1),
        violations=await target.violations(),
        receipts=receipts_of(load, settled, completed - receipts_before),
    )


def cpu_of_order_us(load: Load, settled: Snapshot) -> dict[str, float]:
    """Return the CPU µs of an order by process, as `Run` says."""
    tally, began_s, ended_s = load.tally, load.began.cpu_s, load.ended.cpu_s
    until_settled = max(1, tally.all_orders - tally.warm_up_orders)
    costs = {
        name: (settled.cpu_s[name] - began_s.get(name, 0.0)) / until_settled
        if name in LAGGING
        else (ended_s[name] - began_s.get(name, 0.0)) / max(1, tally.orders)
        for name in ended_s
    }
    return _micros(costs | {"load": tally.cpu_s / max(1, tally.orders)})


def cpu_of_network_us(start: Snapshot, settled: Snapshot, tally: Tally, completed: int) -> dict[str, float]:
    """Return the CPU µs of an order by process, where all orders count and the CPU of the whole time."""
    costs = {name: (s - start.cpu_s.get(name, 0.0)) / max(1, completed) for name, s in settled.cpu_s.items()}
    return _micros(costs | {"load": tally.cpu_s / max(1, tally.orders)})


def receipts_of(load: Load, settled: Snapshot, due: int) -> Receipts | None:
    """Return the receipts of a run after which `due` should have arrived, None without a mail server."""
    if load.began.mail is None or load.ended.mail is None or settled.mail is None:
        return None
    sent = settled.mail.messages - load.began.mail.messages
    spent_s = settled.cpu_s.get("notifier", 0.0) - load.began.cpu_s.get("notifier", 0.0)
    return Receipts(
        due=due,
        arrived=settled.mail.distinct,
        repeated=settled.mail.messages - settled.mail.distinct,
        waiting=max(0, load.tally.warm_up_orders + load.tally.orders - load.ended.mail.distinct),
        notifier_us=round(spent_s / sent * 1e6, 1) if spent_s and sent else None,
    )


async def wait_until_idle(
    connection: asyncpg.Connection, sink: MailSink | None, receipts_before: int, *, robots: bool
) -> float:
    """Wait until no call or mail is pending, with `robots` no order either; returns the seconds (up to IDLE_WAIT_S).

    A receipt that is neither pending nor in the mail server never arrives. While fewer have arrived than there are
    completed orders beyond `receipts_before`, the database is asked only every LOOK_S, since that costs it CPU.
    """
    began = looked_at = time.perf_counter()
    completed, _ = await _completed(connection)
    while (now := time.perf_counter()) < began + IDLE_WAIT_S:
        some_wait = sink is not None and (await sink.counts()).distinct < completed - receipts_before
        if not some_wait or now > looked_at + LOOK_S:
            if not await connection.fetchval(PENDING, robots):
                break
            looked_at = now
        await asyncio.sleep(POLL_S)
    return time.perf_counter() - began


async def _completed(connection: asyncpg.Connection) -> tuple[int, float]:
    """Return the number of completed orders, and the seconds from the first preview to the last completion."""
    row = await connection.fetchrow(COMPLETED)
    assert row is not None
    return row["orders"], row["took_s"] or 0.0


def _micros(costs_s: Mapping[str, float]) -> dict[str, float]:
    return {name: round(spent_s * 1e6, 1) for name, spent_s in costs_s.items()}
