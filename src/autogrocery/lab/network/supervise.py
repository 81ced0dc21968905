"""Keeping children alive: started in waves, restarted when they crash, given up when they do nothing else."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

WATCH_S: Final = 0.05
READY_POLL_S: Final = 0.01
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MOST_S: Final = 5.0
LOOP_CRASHES: Final = 5
LOOP_WINDOW_S: Final = 30.0
CRASHES_REMEMBERED: Final = 100  # of one that may crash as often as it likes: enough for the longest pause


class Supervised(Protocol):
    """What a role's process and the database server have in common."""

    name: str

    def clear(self) -> None:
        """End what a crashed one left behind; may block, so it runs in a thread."""

    def launch(self) -> None:
        """Start it; forks, so it runs in the main thread."""

    def poll(self) -> int | None:
        """Exit status, None while it runs."""

    def ready(self) -> bool:
        """Whether it serves; raises StartError when it has ended."""

    def kill(self) -> None:
        """End it at once."""

    def obituary(self) -> str:
        """Say how it ended."""


async def await_ready(child: Supervised, deadline_s: float) -> None:
    """Return once `child` serves; raises StartError when it ends before or takes longer than `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not child.ready():
        if time.monotonic() > deadline:
            child.kill()
            raise StartError(f"{child.name} was not ready within {deadline_s:g} s; {await _end_of(child)}")
        await asyncio.sleep(READY_POLL_S)


async def keep(
    child: Supervised,
    ready_deadline_s: float,
    restarted: Callable[[str], None],
    most_crashes: int | None = LOOP_CRASHES,
) -> None:
    """Launch `child` again whenever it ends, with growing pauses, and call `restarted` with its name each time it serves.

    Never returns; raises StartError when it has crashed `most_crashes` times (None: never too often) within LOOP_WINDOW_S seconds.
    """
    crashes: deque[float] = deque(maxlen=most_crashes or CRASHES_REMEMBERED)
    while True:
        while child.poll() is None:  # noqa: ASYNC110 - a process is no event of the loop's
            await asyncio.sleep(WATCH_S)
        while True:
            crashes.append(time.monotonic())
            recent = sum(1 for at in crashes if crashes[-1] - at < LOOP_WINDOW_S)
            log.warning("child_crashed", child=child.name, status=child.poll(), recent=recent)
            if recent == most_crashes:
                raise StartError(f"{child.name} crashed {recent} times within {LOOP_WINDOW_S:g} s; {child.obituary()}")
            await asyncio.sleep(backoff_s(recent))
            try:
                await asyncio.to_thread(child.clear)
                child.launch()
                await await_ready(child, ready_deadline_s)
            except StartError as error:
                log.warning("child_not_restarted", child=child.name, reason=str(error).partition("\n")[0])
            else:
                break
        restarted(child.name)
        log.info("child_restarted", child=child.name)


def backoff_s(crashes: int) -> float:
    """Return the pause before a restart in seconds: doubled each time, capped, half of it by chance."""
    most: float = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** (crashes - 1))
    return most * random.uniform(0.5, 1)


async def _end_of(child: Supervised) -> str:
    while child.poll() is None:  # noqa: ASYNC110 - it was killed: the kernel takes no longer than this
        await asyncio.sleep(READY_POLL_S)
    return child.obituary()
