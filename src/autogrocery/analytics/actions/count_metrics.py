from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.analytics.metric import decode

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.subscription import Subscription

MAX_MESSAGES: Final = 200


async def count_metrics(subscription: Subscription, counters: Counters) -> bool:
    """Receive messages and count them, malformed ones as invalid. Returns True: there may always be more."""
    for message in await subscription.receive(MAX_MESSAGES):
        counters.received += 1
        try:
            metric = decode(message)
        except ValueError:
            counters.invalid += 1
            continue
        counters.count(metric, time.monotonic())
    await asyncio.sleep(0)  # yield: while messages are queued, receiving them never waits, and other tasks would starve
    return True
