"""Compare the facts of analytics with the history in the gateway's database."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_S: Final = 0.5


class FactCheck(Struct, frozen=True):
    """Status changes of orders and restocks: in the database's history, in analytics' figures, and as stored facts.

    `facts` is None if analytics only counts. `same_changes` is whether facts and history have the same order, version
    and status, change by change.
    """

    history: int
    counted: int
    facts: int | None
    same_changes: bool

    @property
    def exact(self) -> bool:
        """Whether every status change is stored once and counted once; False if they are only counted."""
        return self.same_changes and self.facts == self.counted == self.history


async def wait_until_exact(
    check: Callable[[], Awaitable[FactCheck | None]] | None, within_s: float
) -> FactCheck | None:
    """Poll until facts and history agree, or facts are only counted; return the last comparison.

    Returns None without an answer or without `check`.
    """
    if check is None:
        return None
    ends_at = time.monotonic() + within_s
    while True:
        found = await check()
        if (found is not None and (found.exact or found.facts is None)) or time.monotonic() >= ends_at:
            return found
        await asyncio.sleep(POLL_S)
