"""Batching without a timer: items that arrive while one flush is under way form the next batch.

Alone, an item is flushed at once. Under load a batch is as large as the previous flush was slow, which is what group
commit does in a database.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
MAX_BATCH = 64
MAX_WAITING = 1_024
MAX_WAIT_S = 1.0
RETRY_AFTER_S = 1.0


class Batcher(Generic[Item, Outcome]):
    """Flushes submitted items in batches of at most `max_batch`, oldest first, one flush at a time.

    `flush` returns one outcome for each item, in their order; an exception among them is that item's own. If it raises
    instead, every item of the batch has that exception. Two items with the same `key` never share a batch: the later
    one waits for the next.

    An item whose caller has given up, or that has waited `max_wait_s` seconds (then Unavailable with `late_code`), is
    dropped if its flush has not begun. Once it has begun it is completed, even if every caller has given up.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | Exception]]],
        *,
        key: Callable[[Item], object] | None = None,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        max_wait_s: float = MAX_WAIT_S,
        late_code: str = "overloaded",
    ) -> None:
        self.name = name
        self.flushes = 0
        self.items_flushed = 0
        self._flush = flush
        self._key = key
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._late_code = late_code
        self._waiting: deque[tuple[Item, float, asyncio.Future[Outcome]]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """The number of items that no flush has taken yet."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Outcome:
        """Flush one item and return its outcome; raises Unavailable if it was never flushed, else its flush's error."""
        if len(self._waiting) >= self._max_waiting:
            raise self._not_flushed("overloaded", "too many are waiting")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, loop.time() + self._max_wait_s, outcome))
        if self._running is None:
            self._running = loop.create_task(self._run())
        elif self._expiry is None:
            self._expiry = loop.call_later(self._max_wait_s, self._drop_late, loop)
        return await outcome

    async def close(self) -> None:
        """Wait until every submitted item has its outcome; each flush has its own deadline."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
        try:
            while batch := self._next_batch():
                self.flushes += 1
                self.items_flushed += len(batch)
                await self._flush_batch(batch)
        except BaseException as error:  # noqa: BLE001 - the process or the test ends: no caller may wait for ever
            for _, outcome in batch + [(item, outcome) for item, _, outcome in self._waiting]:
                if not outcome.done():
                    outcome.set_exception(_copy_of(error))
            self._waiting.clear()
        finally:
            self._running = None
            if self._expiry is not None:
                self._expiry.cancel()
                self._expiry = None

    def _drop_late(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse the items that have waited too long behind a slow flush; set the timer for the next one."""
        while self._waiting and (self._waiting[0][1] <= loop.time() or self._waiting[0][2].done()):
            _, _, outcome = self._waiting.popleft()
            if not outcome.done():
                outcome.set_exception(self._not_flushed(self._late_code, "waited too long"))
        self._expiry = loop.call_at(self._waiting[0][1], self._drop_late, loop) if self._waiting else None

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Outcome]]]:
        """Take the oldest items with different keys; an item whose key is taken stays in the queue, in its place."""
        batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
        keys: set[object] = set()
        stay: list[tuple[Item, float, asyncio.Future[Outcome]]] = []
        while self._waiting and len(batch) < self._max_batch:
            item, until, outcome = self._waiting.popleft()
            if outcome.done():
                continue
            if self._key is not None:
                key = self._key(item)
                if key in keys:
                    stay.append((item, until, outcome))
                    continue
                keys.add(key)
            batch.append((item, outcome))
        self._waiting.extendleft(reversed(stay))
        return batch

    async def _flush_batch(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - every caller of the batch receives it
            outcomes = [error] * len(batch)
        for (_, waiting), outcome in zip(batch, outcomes, strict=True):
            if waiting.done():
                continue
            if isinstance(outcome, Exception):
                waiting.set_exception(outcome)
            else:
                waiting.set_result(outcome)

    def _not_flushed(self, code: str, why: str) -> Unavailable:
        return Unavailable(code, f"{self.name}: {why}", retry_after_s=RETRY_AFTER_S)


def _copy_of(error: BaseException) -> BaseException:
    """Return what a waiting caller raises when the batcher ends: a cancellation of its own, or the error itself."""
    return asyncio.CancelledError() if isinstance(error, asyncio.CancelledError) else error
