"""What operators' reads share: an answer that serves all who ask within a second, and the last audits."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.contracts.ops.overview import Invariant, Overview, Stage
    from autogrocery.gateway.store.ops.overview import MinuteCounts

T = TypeVar("T")


class Cached(Generic[T]):
    """The last answer of a read: who asks while it is young gets it, who asks while it is made waits for it."""

    def __init__(self, kept_s: float) -> None:
        self.kept_s = kept_s
        self._lock = asyncio.Lock()
        self._made_at = -kept_s
        self._answer: T | None = None

    async def get(self, make: Callable[[], Awaitable[T]]) -> T:
        """Return the last answer if it is younger than `kept_s`, else that of `make`, whose errors are not kept."""
        if (answer := self._young()) is not None:
            return answer
        async with self._lock:
            if (answer := self._young()) is not None:
                return answer
            answer = await make()
            self._answer, self._made_at = answer, time.monotonic()
            return answer

    def _young(self) -> T | None:
        return self._answer if time.monotonic() - self._made_at < self.kept_s else None


class AuditRun(Struct):
    """The last audit of one source, whether one is running, and from when on (time.monotonic()) the next may.

    `untold` says why the last one gave no answer; `found` is then that of the one before, None if there was none.
    """

    found: list[Invariant] | None = None
    untold: str | None = "its first audit has not ended yet"
    running: bool = False
    next_at: float = 0.0


class Audits(Struct):
    """The audits of the gateway's database and of inventory."""

    gateway: AuditRun = field(default_factory=AuditRun)
    inventory: AuditRun = field(default_factory=AuditRun)


class OpsCaches(Struct):
    """The caches of one gateway."""

    overview: Cached[Overview] = field(default_factory=lambda: Cached(1.0))
    stages: Cached[list[Stage]] = field(default_factory=lambda: Cached(5.0))
    attention: Cached[int] = field(default_factory=lambda: Cached(0.5))
    audits: Audits = field(default_factory=Audits)
    minutes: MinuteCounts | None = None
    streams: int = 0
