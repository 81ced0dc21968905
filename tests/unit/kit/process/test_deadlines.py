"""Deadlines: each number expires once, at its time, unless it has left the container before."""

from __future__ import annotations

import asyncio

from autogrocery.kit.process.deadlines import Deadlines

TIMEOUT_S = 5.0


async def test_each_number_expires_at_its_deadline_in_order() -> None:
    loop = asyncio.get_running_loop()
    live = {1, 2, 3}
    all_expired = asyncio.Event()
    expired: list[tuple[int, float]] = []

    def late(number: int) -> None:
        live.discard(number)
        expired.append((number, loop.time()))
        if not live:
            all_expired.set()

    deadlines = Deadlines(live, late)
    begun = loop.time()
    times = {1: begun + 0.15, 2: begun + 0.05, 3: begun + 0.1}
    for number, until in times.items():
        deadlines.add(number, until)
    async with asyncio.timeout(TIMEOUT_S):
        await all_expired.wait()
    assert [number for number, _ in expired] == [2, 3, 1]
    assert all(at >= times[number] for number, at in expired)


async def test_number_no_longer_live_does_not_expire_and_leaves_no_timer() -> None:
    loop = asyncio.get_running_loop()
    expired: list[int] = []
    live = {1, 2}
    deadlines = Deadlines(live, expired.append)
    until = loop.time() + 0.05
    for number in (1, 2):
        deadlines.add(number, until)
    live.clear()
    passed = asyncio.Event()
    loop.call_at(until + 0.01, passed.set)
    async with asyncio.timeout(TIMEOUT_S):
        await passed.wait()
    assert expired == []
    assert deadlines._timer is None


async def test_number_added_during_an_expiry_expires_too() -> None:
    loop = asyncio.get_running_loop()
    expired: list[int] = []
    live = {1}
    second_expired = asyncio.Event()

    def late(number: int) -> None:
        live.discard(number)
        expired.append(number)
        if number == 1:
            live.add(2)
            deadlines.add(2, loop.time() + 0.02)
        else:
            second_expired.set()

    deadlines = Deadlines(live, late)
    deadlines.add(1, loop.time() + 0.02)
    async with asyncio.timeout(TIMEOUT_S):
        await second_expired.wait()
    assert expired == [1, 2]
