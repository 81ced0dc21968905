"""Store the history that the metrics log has: what is stored already is not asked for again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.analytics.actions.fill_gaps import fill_gaps
from autogrocery.analytics.core.epochs import GAP_AFTER_S
from autogrocery.kit.backoff import equal_jitter_s
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.metrics_log import MetricsLog
    from autogrocery.analytics.store.backlog import Backlog

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 10.0
MAX_FAILURES: Final = 20  # one after the other: some two minutes
REPORT_EVERY_S: Final = 1.0
IDLE_RUNS: Final = 2  # without progress, before what is missing counts as not final


class BackfillProgress(Struct, frozen=True):
    """How far a backfill has come: facts stored in this run, numbers not read yet, and the time it took."""

    stored: int
    missing: int
    took_s: float


async def backfill(
    logs: Sequence[MetricsLog],
    backlog: Backlog,
    counters: Counters,
    since_s: int,
    report: Callable[[BackfillProgress], None],
) -> BackfillProgress:
    """Store every status change of the epochs that were alive after `since_s` (Unix seconds); return what was done.

    It may be interrupted at any time and run again. Numbers younger than ten seconds may stay missing: they are not
    final, and a running analytics process stores them. Raises Unavailable if log or store fail MAX_FAILURES times.
    """
    await backlog.load(counters)
    await backlog.complete_from(since_s)
    started_s = time.monotonic()
    reading = asyncio.create_task(_read(logs, backlog, counters))
    reported_s = started_s
    try:
        while not reading.done() or len(backlog.waiting):
            if not await _insist(backlog.store_next) and not reading.done():
                await asyncio.wait([reading], timeout=FIRST_WAIT_S)
            if time.monotonic() - reported_s >= REPORT_EVERY_S:
                reported_s = time.monotonic()
                report(_progress(backlog, counters, started_s))
        await reading
        await _insist(backlog.flush)
    finally:
        reading.cancel()
    return _progress(backlog, counters, started_s)


async def _read(logs: Sequence[MetricsLog], backlog: Backlog, counters: Counters) -> None:
    async def read_more() -> bool:
        return await fill_gaps(logs, counters, backlog.waiting, backlog.complete_since_s)

    idle_runs = 0
    while idle_runs < IDLE_RUNS:
        before = _missing(counters)
        more = await _insist(read_more)
        if len(counters.logs_read) < len(logs) or more or _missing(counters) != before:
            idle_runs = 0
            continue
        if not before:
            return
        idle_runs += 1
        await asyncio.sleep(GAP_AFTER_S)  # what has just become known is asked for after that


async def _insist(call: Callable[[], Awaitable[bool | None]]) -> bool:
    """Return what `call` returns, called again with growing pauses while it raises Unavailable."""
    for failed in range(1, MAX_FAILURES):
        try:
            return bool(await call())
        except Unavailable as error:
            log.warning("backfill_deferred", reason=error.detail)
            await asyncio.sleep(equal_jitter_s(failed, FIRST_WAIT_S, LONGEST_WAIT_S))
    return bool(await call())


def _missing(counters: Counters) -> int:
    now_s = time.monotonic()
    listed = {epoch.epoch: epoch for epochs in counters.listed.values() for epoch in epochs.values()}
    return sum(len(gap) for epoch in listed.values() for gap in epoch.missing_ranges(now_s))


def _progress(backlog: Backlog, counters: Counters, started_s: float) -> BackfillProgress:
    return BackfillProgress(backlog.stored, _missing(counters), time.monotonic() - started_s)
