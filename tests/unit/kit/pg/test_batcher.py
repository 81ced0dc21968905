"""What many ask at once is asked together, and each has its own outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.batcher import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence


class Door:
    """A flush that ends when it is opened, and notes what came through: each batch as one list."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()

    async def flush(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.begun.set()
        await self.opened.wait()
        return [ValueError(item) if item < 0 else item * 10 for item in items]


async def begun(door: Door, lane: Lane[int, int], item: int) -> asyncio.Task[int]:
    """Ask for an item and wait until it has left."""
    door.begun.clear()
    task = asyncio.create_task(lane.ask(item))
    await door.begun.wait()
    return task


async def asked(lane: Lane[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Ask for items that have to wait."""
    tasks = [asyncio.create_task(lane.ask(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_alone_an_item_leaves_at_once() -> None:
    door = Door()
    door.opened.set()
    assert await Lane("lane", door.flush).ask(7) == 70
    assert door.batches == [[7]]


async def test_what_is_asked_during_a_flush_leaves_together_with_the_next_in_the_order_of_asking() -> None:
    door = Door()
    lane = Lane("lane", door.flush)
    first = await begun(door, lane, 1)
    others = await asked(lane, 2, 3, 4)
    door.opened.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert door.batches == [[1], [2, 3, 4]]
    assert (lane.flushes, lane.carried) == (2, 4)


async def test_an_exception_among_the_outcomes_is_one_items_own() -> None:
    door = Door()
    door.opened.set()
    lane = Lane("lane", door.flush)
    outcomes = await asyncio.gather(lane.ask(1), lane.ask(-2), lane.ask(3), return_exceptions=True)
    assert [outcomes[0], type(outcomes[1]), outcomes[2]] == [10, ValueError, 30]


async def test_a_flush_that_raises_tells_everybody_and_the_lane_goes_on() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("gone", "the other end is away")
        return items

    lane = Lane("lane", flush)
    outcomes = await asyncio.gather(lane.ask(1), lane.ask(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert await lane.ask(3) == 3


async def test_a_batch_has_a_bound_and_a_small_one_waits_for_one_flush_of_it() -> None:
    door = Door()
    lane = Lane("lane", door.flush, max_batch=3)
    first = await begun(door, lane, 1)
    others = await asked(lane, 2, 3, 4, 5)
    door.opened.set()
    await asyncio.gather(first, *others)
    assert door.batches == [[1], [2, 3, 4], [5]]


async def test_beyond_the_bound_of_the_queue_asking_is_refused_at_once() -> None:
    door = Door()
    lane = Lane("lane", door.flush, max_waiting=2)
    first = await begun(door, lane, 1)
    others = await asked(lane, 2, 3)
    with pytest.raises(Unavailable) as refused:
        await lane.ask(4)
    assert refused.value.code == "overloaded"
    door.opened.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30]


async def test_who_gives_up_before_the_item_has_left_takes_it_back() -> None:
    door = Door()
    lane = Lane("lane", door.flush)
    first = await begun(door, lane, 1)
    second, third = await asked(lane, 2, 3)
    second.cancel()
    door.opened.set()
    assert await asyncio.gather(first, third) == [10, 30]
    assert door.batches == [[1], [3]]


async def test_who_gives_up_afterwards_changes_nothing() -> None:
    door = Door()
    lane = Lane("lane", door.flush)
    first = await begun(door, lane, 1)
    first.cancel()
    (second,) = await asked(lane, 2)
    door.opened.set()
    assert await second == 20
    assert door.batches == [[1], [2]]


async def test_an_item_that_waits_too_long_behind_a_flush_never_leaves() -> None:
    door = Door()
    lane = Lane("lane", door.flush, patience_s=0.02)
    first = await begun(door, lane, 1)
    with pytest.raises(Unavailable):
        await lane.ask(2)
    door.opened.set()
    assert await first == 10
    assert await lane.ask(3) == 30
    assert door.batches == [[1], [3]]


async def test_two_items_of_one_key_never_share_a_flush_and_keep_their_order() -> None:
    door = Door()
    lane: Lane[int, int] = Lane("lane", door.flush, key=lambda item: item % 10)
    first = await begun(door, lane, 1)
    others = await asked(lane, 12, 22, 3, 32)
    door.opened.set()
    await asyncio.gather(first, *others)
    assert door.batches == [[1], [12, 3], [22], [32]]


async def test_closing_waits_for_all_that_was_asked() -> None:
    door = Door()
    lane = Lane("lane", door.flush)
    first = await begun(door, lane, 1)
    (second,) = await asked(lane, 2)
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    assert not closing.done()
    door.opened.set()
    await closing
    assert (first.done(), second.done()) == (True, True)


async def test_a_lane_that_dies_leaves_nobody_waiting() -> None:
    class Death(BaseException):
        pass

    async def flush(_items: Sequence[int]) -> Sequence[int]:
        raise Death

    lane = Lane("lane", flush)
    outcomes = await asyncio.gather(lane.ask(1), lane.ask(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Death, Death]
