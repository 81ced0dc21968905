"""Background tasks end before the block that opened their set does."""

from __future__ import annotations

import asyncio

from autogrocery.kit.process.background import BackgroundTasks, background_tasks


async def test_a_task_is_finished_when_the_block_ends() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("work")

    async with background_tasks() as tasks:
        tasks.start(work())
        assert len(tasks) == 1
    assert (done, len(tasks)) == (["work"], 0)


async def test_drain_cancels_what_does_not_end_in_time() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    tasks = BackgroundTasks()
    tasks.start(work())
    await tasks.drain(timeout_s=0.01)
    async with asyncio.timeout(1):
        await cancelled.wait()
