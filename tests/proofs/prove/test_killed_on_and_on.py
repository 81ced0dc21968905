"""A network that is broken on purpose is not given up, however often its processes end."""

from __future__ import annotations

import asyncio

import pytest

from autogrocery.kit.process.run import StartError
from autogrocery.lab.network import options_from
from autogrocery.lab.network.supervise import LOOP_CRASHES, keep

PATIENCE_S = 60.0


class Mayfly:
    """Serves as soon as it is launched, and has ended at the next look."""

    name = "mayfly"

    def __init__(self) -> None:
        self.launched = 0

    def clear(self) -> None:
        """Leave nothing behind."""

    def launch(self) -> None:
        self.launched += 1

    def poll(self) -> int | None:
        return 1

    def ready(self) -> bool:
        return True

    def kill(self) -> None:
        """It is dead already."""

    def obituary(self) -> str:
        return "mayfly ended with status 1"


async def test_one_that_may_crash_as_often_as_it_likes_is_launched_again_and_again() -> None:
    child, enough = Mayfly(), asyncio.Event()
    served: list[str] = []

    def restarted(name: str) -> None:
        served.append(name)
        if len(served) > LOOP_CRASHES:
            enough.set()

    keeper = asyncio.create_task(keep(child, 1.0, restarted, None))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait({keeper, waiter := asyncio.create_task(enough.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not keeper.done()
    keeper.cancel()
    await asyncio.wait({keeper, waiter})
    assert child.launched > LOOP_CRASHES


async def test_any_other_is_given_up() -> None:
    served: list[str] = []
    with pytest.raises(StartError, match="mayfly crashed 3 times"):
        async with asyncio.timeout(PATIENCE_S):
            await keep(Mayfly(), 1.0, served.append, 3)
    assert len(served) == 2


def test_up_gives_up_as_before() -> None:
    assert options_from({}).most_crashes == LOOP_CRASHES == 5
