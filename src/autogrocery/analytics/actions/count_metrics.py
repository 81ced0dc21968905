from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.core.counters import Verdict
from autogrocery.analytics.core.facts import fact_of
from autogrocery.contracts.analytics.metric import decode

if TYPE_CHECKING:
    from autogrocery.analytics.core.batch import Waiting
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.peers.subscription import Subscription

MAX_MESSAGES: Final = 200
ROOM_AGAIN_S: Final = 0.05


async def count_metrics(subscription: Subscription, counters: Counters, waiting: Waiting | None) -> bool:
    """Receive messages and count them, malformed ones as invalid; with a store, `waiting` gets them to be written.

    While too much waits, nothing is received: messages that ZeroMQ drops then are gaps, which the metrics log fills.
    Returns True: there may always be more.
    """
    if waiting is not None and not waiting.has_room:
        await asyncio.sleep(ROOM_AGAIN_S)
        return True
    for message in await subscription.receive(MAX_MESSAGES):
        counters.received += 1
        try:
            fact = fact_of(decode(message))
        except ValueError as error:
            counters.invalid += 1
            if waiting is not None:
                waiting.set_aside(message, str(error), time.time_ns() // 1_000)
            continue
        verdict = counters.count(fact, time.monotonic())
        if waiting is not None:
            if verdict in {Verdict.NEW, Verdict.REPEATED}:
                waiting.add(fact)
            elif verdict is Verdict.INVALID:
                waiting.set_aside(message, "the sequence number is too far ahead", time.time_ns() // 1_000)
    await asyncio.sleep(0)  # yield: while messages are queued, receiving them never waits, and other tasks would starve
    return True
