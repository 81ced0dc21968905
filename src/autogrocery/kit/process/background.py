"""Tasks that no request and no loop waits for; the process waits for them when it stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

DRAIN_TIMEOUT_S = 3.0


class BackgroundTasks:
    """A set of running tasks, without a bound: a caller that needs one compares `len()` before it starts another."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return how many tasks are running."""
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Run `work` as a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, timeout_s: float = DRAIN_TIMEOUT_S) -> None:
        """Wait up to `timeout_s` seconds until all tasks have ended, then cancel the rest."""
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in pending:
            task.cancel()
        if pending:
            log.warning("background_tasks_cancelled", count=len(pending))


@asynccontextmanager
async def background_tasks() -> AsyncIterator[BackgroundTasks]:
    """Open a set of tasks; it is drained at the end of the block."""
    tasks = BackgroundTasks()
    try:
        yield tasks
    finally:
        await tasks.drain()
