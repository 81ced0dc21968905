"""The supervisor of a network with injected faults restarts a process however often it ends."""

from __future__ import annotations

import asyncio

import pytest

from autogrocery.kit.process.run import StartError
from autogrocery.lab.network import options_from
from autogrocery.lab.network.supervise import MAX_CRASHES, keep_running

TIMEOUT_S = 60.0


class CrashingChild:
    """Is ready as soon as it is launched, and has ended at the next poll."""

    name = "crashing"

    def __init__(self) -> None:
        self.launched = 0

    def clean_up(self) -> None:
        """There is nothing to remove."""

    def launch(self) -> None:
        self.launched += 1

    def poll(self) -> int | None:
        return 1

    def ready(self) -> bool:
        return True

    def kill(self) -> None:
        """It has ended already."""

    def exit_report(self) -> str:
        return "crashing ended with status 1"


async def test_a_child_without_a_crash_limit_is_always_restarted() -> None:
    child, enough = CrashingChild(), asyncio.Event()
    served: list[str] = []

    def restarted(name: str) -> None:
        served.append(name)
        if len(served) > MAX_CRASHES:
            enough.set()

    keeper = asyncio.create_task(keep_running(child, 1.0, restarted, None))
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.wait({keeper, waiter := asyncio.create_task(enough.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not keeper.done()
    keeper.cancel()
    await asyncio.wait({keeper, waiter})
    assert child.launched > MAX_CRASHES


async def test_a_child_beyond_its_crash_limit_raises_start_error() -> None:
    served: list[str] = []
    with pytest.raises(StartError, match="crashing crashed 3 times"):
        async with asyncio.timeout(TIMEOUT_S):
            await keep_running(CrashingChild(), 1.0, served.append, 3)
    assert len(served) == 2


def test_up_has_the_default_crash_limit() -> None:
    assert options_from({}).max_crashes == MAX_CRASHES == 5
