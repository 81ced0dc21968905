"""What the clock starts: a verb run again and again, which may be woken early and never dies of an error."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

JITTER = 0.2
STOP_PATIENCE_S = 3.0


class Loop:
    """Runs `verb` every `every_s` seconds ± 20 %; at once again while it returns True (there is more)."""

    def __init__(self, name: str, every_s: float, verb: Callable[[], Awaitable[bool]]) -> None:
        self.name = name
        self.every_s = every_s
        self.last_ended_at = time.monotonic()
        self._verb = verb
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Run as soon as possible."""
        self._woken.set()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            more = await self._once()
            self.last_ended_at = time.monotonic()
            if more:
                continue
            wait_s = self.every_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()

    async def _once(self) -> bool:
        try:
            return await self._verb()
        except (Unavailable, InDoubt) as error:
            log.warning("loop_deferred", loop=self.name, reason=str(error))
        except Exception:  # noqa: BLE001 - a bug in one run must not end the loop
            log.exception("loop_failed", loop=self.name)
        return False


@asynccontextmanager
async def running(loops: Sequence[Loop]) -> AsyncIterator[None]:
    """Run the loops while the context lasts; leaving cancels them and waits until they have let go."""
    tasks = [asyncio.create_task(loop.run(), name=f"loop:{loop.name}") for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_PATIENCE_S)
