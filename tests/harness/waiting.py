"""Waiting for a condition that has no event to wait for: state of another process, of a database, of several tasks."""

from __future__ import annotations

import asyncio
import time
from inspect import isawaitable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TIMEOUT_S = 20.0  # generous: a loaded machine may be slow, and a condition that holds ends the wait at once
POLL_S = 0.02


async def until(
    predicate: Callable[[], Awaitable[object] | object], timeout_s: float = TIMEOUT_S, every_s: float = POLL_S
) -> None:
    """Poll `predicate`, a plain or async function, until its result is true; raises TimeoutError after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = predicate()
            if isawaitable(result):
                result = await result
            if result:
                return
            await asyncio.sleep(every_s)


def block_until(predicate: Callable[[], object], timeout_s: float = TIMEOUT_S, every_s: float = POLL_S) -> None:
    """Poll `predicate` from a thread that has no event loop; raises TimeoutError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {timeout_s} s")
        time.sleep(every_s)
