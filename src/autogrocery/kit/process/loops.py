"""Periodic loops: each runs an action again and again, may be woken early, and survives every error of the action."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from autogrocery.kit.backoff import spread_s
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

STOP_TIMEOUT_S = 3.0


class Loop:
    """Runs `action` every `every_s` seconds ± 20 %; immediately again while it returns True (there is more work).

    `every_s` may be a function: it is called after each run.
    """

    def __init__(self, name: str, every_s: float | Callable[[], float], action: Callable[[], Awaitable[bool]]) -> None:
        self.name = name
        self.every_s = every_s
        self.last_ended_at = time.monotonic()
        self._action = action
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Run the action as soon as possible."""
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            more = await self._once()
            self.last_ended_at = time.monotonic()
            if more:
                continue
            try:
                wait_s = self.every_s() if callable(self.every_s) else self.every_s
                async with asyncio.timeout(spread_s(wait_s)):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()

    async def _once(self) -> bool:
        try:
            return await self._action()
        except (Unavailable, InDoubt) as error:
            log.warning("loop_deferred", loop=self.name, reason=str(error))
        except Exception:  # noqa: BLE001 - a bug in one run must not end the loop
            log.exception("loop_failed", loop=self.name)
        return False


@asynccontextmanager
async def running(loops: Sequence[Loop]) -> AsyncIterator[None]:
    """Run the loops while the context lasts; then cancel them and wait at most STOP_TIMEOUT_S seconds for their end."""
    tasks = [asyncio.create_task(loop.run(), name=f"loop:{loop.name}") for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
