"""Make the counts whole from the gateway's history: the past on the first run, what got lost afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.core.epochs import GAP_AFTER_S, Epoch

if TYPE_CHECKING:
    from autogrocery.analytics.core.tally import Tally
    from autogrocery.analytics.peers.log import Log

MAX_PAGES: Final = 50  # of one epoch in one run; the next goes on


async def fill_gaps(log: Log, tally: Tally) -> bool:
    """Ask the log for every hole old enough to be a gap, tails of dead epochs included; True if there is more at once.

    A number the log does not know yet is too young to be final and stays open. Raises Unavailable.
    """
    followed = []
    for known in await log.epochs():
        # On the first run, what exists was published before we listened; later, it may still be on its way to us.
        joined, age_s = (1, 0.0) if tally.has_past else (known.last_sequence + 1, GAP_AFTER_S)
        epoch = tally.epoch(known.epoch, joined=joined)
        if epoch is not None:
            heard_of = epoch.last > 0
            followed.append(epoch)
            epoch.reach(known.last_sequence, time.monotonic() - (0.0 if heard_of else age_s))
    tally.has_past = True
    more = False
    for epoch in followed:
        more = await _fill(log, tally, epoch) or more
    return more


async def _fill(log: Log, tally: Tally, epoch: Epoch) -> bool:
    after = -1
    for _ in range(MAX_PAGES):
        ahead = [hole for hole in epoch.holes(time.monotonic(), GAP_AFTER_S) if hole.last > after]
        if not ahead:
            return False
        after = max(after, ahead[0].first - 1)
        page = await log.page(epoch.epoch, after)
        now_s = time.monotonic()
        for metric in page.metrics:
            if metric.epoch == epoch.epoch:
                tally.take(metric, now_s, from_log=True)
        for number in page.void:
            if 0 < number <= epoch.last:
                tally.void(epoch, number, now_s)
        if page.next_after is None or page.next_after <= after:
            return False
        after = page.next_after
    return True
