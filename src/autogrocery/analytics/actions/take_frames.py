from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.analytics.metric import decode

if TYPE_CHECKING:
    from autogrocery.analytics.core.tally import Tally
    from autogrocery.analytics.peers.frames import Frames

BATCH: Final = 200


async def take_frames(frames: Frames, tally: Tally) -> bool:
    """Count what is published; True, for there is always more. What is no metric is counted as invalid."""
    for frame in await frames.receive(BATCH):
        tally.received += 1
        try:
            metric = decode(frame)
        except ValueError:
            tally.invalid += 1
            continue
        tally.take(metric, time.monotonic())
    await asyncio.sleep(0)  # messages that are there at once would keep everything else waiting
    return True
