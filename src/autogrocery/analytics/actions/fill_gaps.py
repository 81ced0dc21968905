"""Complete the facts from the gateways' metrics logs: on the first run the past, afterwards lost messages."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.analytics.core.counters import Verdict
from autogrocery.analytics.core.epochs import GAP_AFTER_S, Epoch
from autogrocery.analytics.core.facts import fact_of
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.analytics.core.batch import Waiting
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.metrics_log import MetricsLog, Page

MAX_PAGES: Final = 50  # of one epoch in one run; the next run continues
ROOM_AGAIN_S: Final = 0.05


async def fill_gaps(
    logs: Sequence[MetricsLog], counters: Counters, waiting: Waiting | None = None, since_s: int | None = None
) -> bool:
    """Read every range that has been missing long enough to be a gap from the logs; True if more can be read at once.

    The tails of ended epochs are included. A number that no log has yet is not final and stays missing. The first
    answer of each log is about the epochs that were alive after `since_s` (Unix seconds; None: within seven days),
    later ones about those of the last seven days. With a store, `waiting` gets what is read. Gateways on one database
    have the same log: what one of them has filled, the next is not asked for. Raises Unavailable if a log did not
    answer, once all the others were read.
    """
    more, failed = False, []
    for metrics_log in logs:
        try:
            more = await _fill_from(metrics_log, counters, waiting, since_s) or more
        except Unavailable as error:
            log.warning("metrics_log_unavailable", reason=error.detail)
            failed.append(error)
    if failed:
        raise failed[0]
    return more


async def _fill_from(metrics_log: MetricsLog, counters: Counters, waiting: Waiting | None, since_s: int | None) -> bool:
    was_read = metrics_log.address in counters.logs_read
    listed = counters.listed.setdefault(metrics_log.address, {})
    for known in await metrics_log.epochs(None if was_read else since_s):
        # On the first run, every number was published before we subscribed; later, a message may still be on its way.
        joined, age_s = (1, 0.0) if was_read else (known.last_sequence + 1, GAP_AFTER_S)
        epoch = counters.epoch(known.epoch, joined=joined)
        if epoch is not None:
            seen_before = epoch.last > 0
            listed[known.epoch] = epoch
            epoch.extend_to(known.last_sequence, time.monotonic() - (0.0 if seen_before else age_s))
    counters.logs_read.add(metrics_log.address)
    more = False
    for epoch in list(listed.values()):
        more = await _fill(metrics_log, counters, waiting, epoch) or more
    return more


async def _fill(metrics_log: MetricsLog, counters: Counters, waiting: Waiting | None, epoch: Epoch) -> bool:
    after = -1
    for _ in range(MAX_PAGES):
        gaps = [one for one in epoch.missing_ranges(time.monotonic(), GAP_AFTER_S) if one.last > after]
        if not gaps:
            return False
        while waiting is not None and not waiting.has_room:  # noqa: ASYNC110 - core has no events
            await asyncio.sleep(ROOM_AGAIN_S)
        after = max(after, gaps[0].first - 1)
        page = await metrics_log.page(epoch.epoch, after)
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
