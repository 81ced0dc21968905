"""Complete the facts from the gateway's metrics log: on the first run the past, afterwards lost messages."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.analytics.core.counters import Verdict
from autogrocery.analytics.core.epochs import GAP_AFTER_S, Epoch
from autogrocery.analytics.core.facts import fact_of

if TYPE_CHECKING:
    from autogrocery.analytics.core.batch import Waiting
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.metrics_log import MetricsLog, Page

MAX_PAGES: Final = 50  # of one epoch in one run; the next run continues
ROOM_AGAIN_S: Final = 0.05


async def fill_gaps(
    log: MetricsLog, counters: Counters, waiting: Waiting | None = None, since_s: int | None = None
) -> bool:
    """Read every range that has been missing long enough to be a gap from the log; True if more can be read at once.

    The tails of ended epochs are included. A number that the log does not have yet is not final and stays missing.
    The first run reads the epochs that were alive after `since_s` (Unix seconds; None: within seven days), later runs
    those of the last seven days. With a store, `waiting` gets what is read. Raises Unavailable.
    """
    for known in await log.epochs(None if counters.has_past else since_s):
        # On the first run, every number was published before we subscribed; later, a message may still be on its way.
        joined, age_s = (1, 0.0) if counters.has_past else (known.last_sequence + 1, GAP_AFTER_S)
        epoch = counters.epoch(known.epoch, joined=joined)
        if epoch is not None:
            seen_before = epoch.last > 0
            counters.listed[known.epoch] = epoch
            epoch.extend_to(known.last_sequence, time.monotonic() - (0.0 if seen_before else age_s))
    counters.has_past = True
    more = False
    for epoch in list(counters.listed.values()):
        more = await _fill(log, counters, waiting, epoch) or more
    return more


async def _fill(log: MetricsLog, counters: Counters, waiting: Waiting | None, epoch: Epoch) -> bool:
    after = -1
    for _ in range(MAX_PAGES):
        gaps = [one for one in epoch.missing_ranges(time.monotonic(), GAP_AFTER_S) if one.last > after]
        if not gaps:
            return False
        while waiting is not None and not waiting.has_room:  # noqa: ASYNC110 - core has no events
            await asyncio.sleep(ROOM_AGAIN_S)
        after = max(after, gaps[0].first - 1)
        page = await log.page(epoch.epoch, after)
        _count(page, counters, waiting, epoch)
        if page.next_after is None or page.next_after <= after:
            return False
        after = page.next_after
    return True


def _count(page: Page, counters: Counters, waiting: Waiting | None, epoch: Epoch) -> None:
    now_s = time.monotonic()
    for metric in page.metrics:
        if metric.epoch != epoch.epoch:
            continue
        try:
            fact = fact_of(metric)
        except ValueError as error:
            counters.invalid += 1
            if 0 < metric.sequence <= epoch.last and epoch.add(metric.sequence, now_s) and waiting is not None:
                waiting.set_aside(msgspec.json.encode(metric), str(error), time.time_ns() // 1_000)
                waiting.close(epoch.epoch, metric.sequence)
            continue
        verdict = counters.count(fact, now_s, from_log=True)
        if waiting is not None and verdict in {Verdict.NEW, Verdict.REPEATED}:
            waiting.add(fact)
    for number in page.void:
        if 0 < number <= epoch.last and counters.void(epoch, number, now_s) and waiting is not None:
            waiting.close(epoch.epoch, number)
