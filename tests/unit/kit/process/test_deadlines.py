from __future__ import annotations

import asyncio

from autogrocery.kit.process.deadlines import Deadlines


async def test_each_number_is_told_at_its_time_and_in_the_order_of_time() -> None:
    loop = asyncio.get_running_loop()
    live = {1, 2, 3}
    told: list[tuple[int, float]] = []

    def late(number: int) -> None:
        live.discard(number)
        told.append((number, loop.time()))

    deadlines = Deadlines(live, late)
    begun = loop.time()
    times = {1: begun + 0.15, 2: begun + 0.05, 3: begun + 0.1}
    for number, until in times.items():
        deadlines.add(number, until)
    async with asyncio.timeout(5.0):
        while live:  # noqa: ASYNC110 - a timer ends it
            await asyncio.sleep(0.01)
    assert [number for number, _ in told] == [2, 3, 1]
    assert all(at >= times[number] for number, at in told)


async def test_what_is_no_longer_live_is_not_told_and_leaves_no_timer() -> None:
    loop = asyncio.get_running_loop()
    told: list[int] = []
    live = {1, 2}
    deadlines = Deadlines(live, told.append)
    for number in (1, 2):
        deadlines.add(number, loop.time() + 0.05)
    live.clear()
    await asyncio.sleep(0.15)
    assert told == []
    assert deadlines._timer is None


async def test_a_number_added_when_others_are_told_is_told_too() -> None:
    loop = asyncio.get_running_loop()
    told: list[int] = []
    live = {1}

    def late(number: int) -> None:
        live.discard(number)
        told.append(number)
        if number == 1:
            live.add(2)
            deadlines.add(2, loop.time() + 0.02)

    deadlines = Deadlines(live, late)
    deadlines.add(1, loop.time() + 0.02)
    async with asyncio.timeout(5.0):
        while told != [1, 2]:  # noqa: ASYNC110 - a timer ends it
            await asyncio.sleep(0.005)
