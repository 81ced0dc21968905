"""What many ask at once, asked together: while one flush is under way the next ones queue, and go out as one.

No timer and no waiting for company: alone, an item leaves at once. Under load a batch is as large as the last flush was
slow, which is what group commit does in a database.
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
PATIENCE_S = 1.0
RETRY_AFTER_S = 1.0


class Lane(Generic[Item, Outcome]):
    """Items in, each with its own outcome out; at most one flush at a time, of at most `max_batch` items, oldest first.

    `flush` returns one outcome for each item in their order; an exception among them is that item's own. If it raises
    instead, every item of the batch has that exception. Two items with the same `key` never share a flush: the later one
    waits for the next.

    An item that nobody waits for any more, or that has waited `patience_s` seconds (`late_code` is then the refusal's), is
    dropped if it has not left yet. One that has left is carried to its end whoever gave up.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | Exception]]],
        *,
        key: Callable[[Item], object] | None = None,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        patience_s: float = PATIENCE_S,
        late_code: str = "overloaded",
    ) -> None:
        self.name = name
        self.flushes = 0
        self.carried = 0
        self._flush = flush
        self._key = key
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._patience_s = patience_s
        self._late_code = late_code
        self._waiting: deque[tuple[Item, float, asyncio.Future[Outcome]]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    async def ask(self, item: Item) -> Outcome:
        """Have one item carried; raises Unavailable if it never left, else what its flush says."""
        if len(self._waiting) >= self._max_waiting:
            raise self._not_sent("overloaded", "too many are waiting")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, loop.time() + self._patience_s, outcome))
        if self._running is None:
            self._running = loop.create_task(self._run())
        elif self._watch is None:
            self._watch = loop.call_later(self._patience_s, self._drop_late, loop)
        return await outcome

    async def close(self) -> None:
        """Wait until all that was asked is answered; each flush has its own deadline."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
        try:
            while batch := self._next():
                self.flushes += 1
                self.carried += len(batch)
                await self._carry(batch)
        except BaseException as error:  # noqa: BLE001 - the lane dies with its process or its test: nobody may wait for ever
            for _, outcome in batch + [(item, outcome) for item, _, outcome in self._waiting]:
                if not outcome.done():
                    outcome.set_exception(_like(error))
            self._waiting.clear()
        finally:
            self._running = None
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None

    def _drop_late(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse what has waited too long behind a flush that does not end; look again when the next one will have."""
        while self._waiting and (self._waiting[0][1] <= loop.time() or self._waiting[0][2].done()):
            _, _, outcome = self._waiting.popleft()
            if not outcome.done():
                outcome.set_exception(self._not_sent(self._late_code, "waited too long"))
        self._watch = loop.call_at(self._waiting[0][1], self._drop_late, loop) if self._waiting else None

    def _next(self) -> list[tuple[Item, asyncio.Future[Outcome]]]:
        """Take the oldest items that may leave together; those of the same key stay, in their order."""
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

    async def _carry(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        outcomes: Sequence[Outcome | Exception]
        try:
            outcomes = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is handed on to everybody who waits
            outcomes = [error] * len(batch)
        for (_, waiting), outcome in zip(batch, outcomes, strict=True):
            if waiting.done():
                continue
            if isinstance(outcome, Exception):
                waiting.set_exception(outcome)
            else:
                waiting.set_result(outcome)

    def _not_sent(self, code: str, why: str) -> Unavailable:
        return Unavailable(code, f"{self.name}: {why}", retry_after_s=RETRY_AFTER_S)


def _like(error: BaseException) -> BaseException:
    """Return what those who wait are told when the lane itself ends."""
    return asyncio.CancelledError() if isinstance(error, asyncio.CancelledError) else error
