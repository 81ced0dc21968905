"""Batcher: what shares a batch, who receives which outcome, and what is dropped before its flush."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.batcher import Batcher

if TYPE_CHECKING:
    from collections.abc import Sequence


class BlockedFlush:
    """A flush that ends when `released` is set, and records each batch as one list."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = asyncio.Event()
        self.released = asyncio.Event()

    async def flush(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.started.set()
        await self.released.wait()
        return [ValueError(item) if item < 0 else item * 10 for item in items]


async def flushing(blocked: BlockedFlush, batcher: Batcher[int, int], item: int) -> asyncio.Task[int]:
    """Submit an item and wait until its flush has started."""
    blocked.started.clear()
    task = asyncio.create_task(batcher.submit(item))
    await blocked.started.wait()
    return task


async def queued(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Submit items that wait behind a flush."""
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_lone_item_is_flushed_at_once() -> None:
    blocked = BlockedFlush()
    blocked.released.set()
    assert await Batcher("batcher", blocked.flush).submit(7) == 70
    assert blocked.batches == [[7]]


async def test_items_submitted_during_a_flush_form_the_next_batch_in_order() -> None:
    blocked = BlockedFlush()
    batcher = Batcher("batcher", blocked.flush)
    first = await flushing(blocked, batcher, 1)
    others = await queued(batcher, 2, 3, 4)
    blocked.released.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert blocked.batches == [[1], [2, 3, 4]]
    assert (batcher.flushes, batcher.items_flushed) == (2, 4)


async def test_exception_among_the_outcomes_is_raised_for_that_item_only() -> None:
    blocked = BlockedFlush()
    blocked.released.set()
    batcher = Batcher("batcher", blocked.flush)
    outcomes = await asyncio.gather(batcher.submit(1), batcher.submit(-2), batcher.submit(3), return_exceptions=True)
    assert [outcomes[0], type(outcomes[1]), outcomes[2]] == [10, ValueError, 30]


async def test_flush_that_raises_fails_its_whole_batch_and_the_next_is_flushed() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("gone", "the server is away")
        return items

    batcher = Batcher("batcher", flush)
    outcomes = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert await batcher.submit(3) == 3


async def test_batch_is_at_most_max_batch_items() -> None:
    blocked = BlockedFlush()
    batcher = Batcher("batcher", blocked.flush, max_batch=3)
    first = await flushing(blocked, batcher, 1)
    others = await queued(batcher, 2, 3, 4, 5)
    blocked.released.set()
    await asyncio.gather(first, *others)
    assert blocked.batches == [[1], [2, 3, 4], [5]]


async def test_submit_beyond_max_waiting_raises_overloaded() -> None:
    blocked = BlockedFlush()
    batcher = Batcher("batcher", blocked.flush, max_waiting=2)
    first = await flushing(blocked, batcher, 1)
    others = await queued(batcher, 2, 3)
    with pytest.raises(Unavailable) as refused:
        await batcher.submit(4)
    assert refused.value.code == "overloaded"
    blocked.released.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30]


async def test_item_cancelled_before_its_flush_is_dropped() -> None:
    blocked = BlockedFlush()
    batcher = Batcher("batcher", blocked.flush)
    first = await flushing(blocked, batcher, 1)
    second, third = await queued(batcher, 2, 3)
    second.cancel()
    blocked.released.set()
    assert await asyncio.gather(first, third) == [10, 30]
    assert blocked.batches == [[1], [3]]


async def test_item_cancelled_during_its_flush_is_still_flushed() -> None:
    blocked = BlockedFlush()
    batcher = Batcher("batcher", blocked.flush)
    first = await flushing(blocked, batcher, 1)
    first.cancel()
    (second,) = await queued(batcher, 2)
    blocked.released.set()
    assert await second == 20
    assert blocked.batches == [[1], [2]]


async def test_item_that_waits_too_long_raises_and_is_never_flushed() -> None:
    blocked = BlockedFlush()
    batcher = Batcher("batcher", blocked.flush, max_wait_s=0.02)
    first = await flushing(blocked, batcher, 1)
    with pytest.raises(Unavailable):
        await batcher.submit(2)
    blocked.released.set()
    assert await first == 10
    assert await batcher.submit(3) == 30
    assert blocked.batches == [[1], [3]]


async def test_items_with_one_key_never_share_a_batch_and_keep_their_order() -> None:
    blocked = BlockedFlush()
    batcher: Batcher[int, int] = Batcher("batcher", blocked.flush, key=lambda item: item % 10)
    first = await flushing(blocked, batcher, 1)
    others = await queued(batcher, 12, 22, 3, 32)
    blocked.released.set()
    await asyncio.gather(first, *others)
    assert blocked.batches == [[1], [12, 3], [22], [32]]


async def test_close_waits_for_every_submitted_item() -> None:
    blocked = BlockedFlush()
    batcher = Batcher("batcher", blocked.flush)
    first = await flushing(blocked, batcher, 1)
    (second,) = await queued(batcher, 2)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    assert not closing.done()
    blocked.released.set()
    await closing
    assert (first.done(), second.done()) == (True, True)


async def test_batcher_that_dies_raises_for_every_waiting_item() -> None:
    class Death(BaseException):
        pass

    async def flush(_items: Sequence[int]) -> Sequence[int]:
        raise Death

    batcher = Batcher("batcher", flush)
    outcomes = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Death, Death]
