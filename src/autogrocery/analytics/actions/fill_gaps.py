"""Complete the counts from the gateway's metrics log: on the first run the past, afterwards lost messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.core.epochs import GAP_AFTER_S, Epoch

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.metrics_log import MetricsLog

MAX_PAGES: Final = 50  # of one epoch in one run; the next run continues


async def fill_gaps(log: MetricsLog, counters: Counters) -> bool:
    """Read every range that has been missing long enough to be a gap from the log; True if more can be read at once.

    The tails of ended epochs are included. A number that the log does not have yet is not final and stays missing.
    Raises Unavailable.
    """
    epochs = []
    for known in await log.epochs():
        # On the first run, every number was published before we subscribed; later, a message may still be on its way.
        joined, age_s = (1, 0.0) if counters.has_past else (known.last_sequence + 1, GAP_AFTER_S)
        epoch = counters.epoch(known.epoch, joined=joined)
        if epoch is not None:
            seen_before = epoch.last > 0
            epochs.append(epoch)
            epoch.extend_to(known.last_sequence, time.monotonic() - (0.0 if seen_before else age_s))
    counters.has_past = True
    more = False
    for epoch in epochs:
        more = await _fill(log, counters, epoch) or more
    return more


async def _fill(log: MetricsLog, counters: Counters, epoch: Epoch) -> bool:
    after = -1
    for _ in range(MAX_PAGES):
        gaps = [one for one in epoch.missing_ranges(time.monotonic(), GAP_AFTER_S) if one.last > after]
        if not gaps:
            return False
        after = max(after, gaps[0].first - 1)
        page = await log.page(epoch.epoch, after)
        now_s = time.monotonic()
        for metric in page.metrics:
            if metric.epoch == epoch.epoch:
                counters.count(metric, now_s, from_log=True)
        for number in page.void:
            if 0 < number <= epoch.last:
                counters.void(epoch, number, now_s)
        if page.next_after is None or page.next_after <= after:
            return False
        after = page.next_after
    return True
