"""Kill processes of the network while baskets are replayed; its supervisor starts them again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_S: Final = 0.02
BACK_WITHIN_S: Final = 60.0


class Kills(Struct, frozen=True):
    """How often to kill each process, by name; `pid` and `times_restarted` are asked by name."""

    times: Mapping[str, int]
    pid: Callable[[str], int | None]
    times_restarted: Callable[[str], int]


async def kill_during(kills: Kills, over_s: float, seed: int) -> dict[str, int]:
    """Send SIGKILL to each process at random moments of `over_s` seconds; return how often each was killed.

    A process that runs no more is waited for. Raises TimeoutError if one is not back within BACK_WITHIN_S.
    """
    async with asyncio.TaskGroup() as group:
        killing = {
            name: group.create_task(_kill(kills, name, times, over_s, random.Random(f"{name}/{seed}")))
            for name, times in kills.times.items()
        }
    return {name: task.result() for name, task in killing.items()}


async def _kill(kills: Kills, name: str, times: int, over_s: float, rng: random.Random) -> int:
    started_s = asyncio.get_running_loop().time()
    for number in range(times):
        at_s = started_s + over_s * (number + rng.random()) / times
        await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
        async with asyncio.timeout(BACK_WITHIN_S):
            while (pid := kills.pid(name)) is None:  # noqa: ASYNC110 - the supervisor has no event for it
                await asyncio.sleep(POLL_S)
            before = kills.times_restarted(name)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            while kills.times_restarted(name) == before:  # noqa: ASYNC110 - as above
                await asyncio.sleep(POLL_S)
    return times
