"""Scrape: the figures of this gateway that are read when Prometheus asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.gateway.store import lag
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.figures import Scrape

if TYPE_CHECKING:
    from autogrocery.gateway.peers.call_log import CallLog
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.rpc.client import Peer
    from autogrocery.kit.security.passwords import PasswordHasher
    from autogrocery.kit.security.tokens import Verifier

DATABASE_DEADLINE_S: Final = 0.5


async def scrape(
    db: Db, peers: tuple[Peer, ...], metrics: Metrics, calls: CallLog, passwords: PasswordHasher, verifier: Verifier
) -> Scrape:
    """Return the figures. Without an answer of the database within DATABASE_DEADLINE_S its lags are left out."""
    out = Scrape()
    out.gauges(
        "peer_breaker_open",
        "1 while calls to the peer are spared",
        "peer",
        {peer.name: float(not peer.available) for peer in peers},
    )
    for figure, documentation in (
        ("open", "Connections that are open"),
        ("idle", "Open connections without a statement"),
        ("max", "Connections at most"),
    ):
        values = {name: float(pool[figure]) for name, pool in db.pools().items()}
        out.gauges(f"database_pool_{figure}_connections", documentation, "pool", values)
    batchers = db.batchers()
    out.counts("batch_flushes", "Batches flushed", "batch", {one.name: one.flushes for one in batchers})
    out.counts("batch_items", "Items in flushed batches", "batch", {one.name: one.items_flushed for one in batchers})
    out.gauges("batch_waiting", "Items that wait for a flush", "batch", {one.name: one.waiting for one in batchers})
    frames = metrics.counters()
    results = {"sent": float(frames["sent"]), "dropped": float(frames["dropped"])}
    out.counts("metric_frames", "Frames for ZeroMQ, by what came of them", "result", results)
    out.counts("peer_call_rows_dropped", "Noteworthy calls without a row", "cause", {"full": float(calls.dropped)})
    out.gauge("password_workers", "Processes that hash passwords", passwords.count)
    out.gauge("password_jobs_waiting", "Password jobs without a worker", passwords.waiting)
    out.gauge("password_jobs_max_waiting", "Password jobs that may wait", passwords.queue_size)
    out.gauge("token_cache_entries", "Verified device tokens in memory", verifier.cached)
    await _add_lags(out, db)
    return out


async def _add_lags(out: Scrape, db: Db) -> None:
    try:
        async with asyncio.timeout(DATABASE_DEADLINE_S):
            lags = await lag.read(db)
    except (Unavailable, TimeoutError):
        out.gauge("database_answered", "1 if the database answered this scrape", 0)
        return
    out.gauge("database_answered", "1 if the database answered this scrape", 1)
    out.gauges(
        "queue_rows",
        "Rows that a loop or the notifier owes work",
        "queue",
        {name: one[0] for name, one in lags.items()},
    )
    out.gauges("queue_lag_seconds", "Age of the oldest such row", "queue", {name: one[1] for name, one in lags.items()})
