"""What is on its way into the store: in memory, then in one batch, then on disk; each has a bound."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from autogrocery.analytics.core.batch import BATCH_FACTS, Batch, Waiting

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.store.fact_store import FactStore
    from autogrocery.analytics.store.spool import Spool

COMPUTE_EVERY_S: Final = 2.0
COMPUTE_SHARE: Final = 0.2  # of the time at most, computing minutes may take
SEVEN_DAYS_S: Final = 7 * 86_400


class Backlog:
    """The one writer of a store, and what it has not written yet."""

    def __init__(self, store: FactStore, spool: Spool | None) -> None:
        self.store = store
        self.waiting = Waiting()
        self.complete_since_s = 0  # from when on the store has every status change of the metrics log; 0: not known yet
        self.stored = 0  # facts written by this process
        self._spool = spool
        self._refused: Batch | None = None  # its write failed, and it is not on disk either
        self._compute_at_s = 0.0

    @property
    def spooled(self) -> int:
        """Return how many batches are on disk."""
        return len(self._spool) if self._spool is not None else 0

    def figures(self) -> dict[str, Any]:
        """Return how far the store is behind, ready for JSON."""
        refused = len(self._refused.facts) if self._refused is not None else 0
        return {
            "available": self.keeps_up,
            "rows_behind": len(self.waiting) + refused + (self._spool.rows if self._spool is not None else 0),
            "spooled_batches": self.spooled,
            "poisoned": self.waiting.poisoned,
            "complete_since": self.complete_since_s,
            "newest_fact_us": self.store.newest_us,
        }

    @property
    def keeps_up(self) -> bool:
        """Whether the store is known and takes what is received: only then gaps are filled."""
        return bool(self.store.loaded and self.complete_since_s) and not self.spooled and self._refused is None

    async def complete_from(self, since_s: int) -> None:
        """Remember that the store shall have every change since `since_s`, or an earlier time that it has already."""
        await self.store.remember("complete_since", -since_s)
        self.complete_since_s = min(self.complete_since_s, since_s)

    async def load(self, counters: Counters) -> None:
        """Read what earlier processes have stored, once. Raises Unavailable."""
        if self.store.loaded and self.complete_since_s:
            return
        await self.store.load()
        counters.forget_numbers()
        counters.restore(self.store.marks, time.monotonic())
        since = await self.store.progress("complete_since")
        if since is None:
            since = -max(int(time.time()) - SEVEN_DAYS_S, 1)  # negative: the earliest time counts
            await self.store.remember("complete_since", since)
        self.complete_since_s = -since

    async def store_next(self) -> bool:
        """Store the oldest batch there is; return whether more can be stored at once. Raises Unavailable."""
        if self._spool is not None and (batch := await self._spool.oldest()) is not None:
            await self._write(batch)
            self._spool.remove()
            return True
        self._refused = batch = self._refused or self.waiting.cut(_now_us())
        if batch is not None:
            await self._write(batch)
            self._refused = None
        await self._compute_if_due()
        return len(self.waiting) >= BATCH_FACTS

    async def spill(self) -> None:
        """Move what waits to disk, as far as there is room."""
        while self._spool is not None and (batch := self._refused or self.waiting.cut(_now_us())) is not None:
            self._refused = batch
            if not await self._spool.append(batch):
                return
            self._refused = None

    async def flush(self) -> None:
        """Store all that waits and compute its minutes. Raises Unavailable."""
        while len(self.waiting) or self._refused is not None or self.spooled:
            await self.store_next()
        if self.store.has_uncomputed_minutes:
            await self.store.compute_minutes()

    async def _write(self, batch: Batch) -> None:
        await self.store.write(batch, _now_us())
        self.stored += len(batch.facts)

    async def _compute_if_due(self) -> None:
        started_s = time.monotonic()
        if self.store.has_uncomputed_minutes and started_s >= self._compute_at_s:
            await self.store.compute_minutes()
            took_s = time.monotonic() - started_s
            self._compute_at_s = time.monotonic() + max(COMPUTE_EVERY_S, took_s / COMPUTE_SHARE)


def _now_us() -> int:
    return time.time_ns() // 1_000
