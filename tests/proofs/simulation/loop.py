"""An event loop on a virtual clock: when nothing is ready, the clock advances to the next timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Nothing is ready and nothing is scheduled: the remaining tasks would wait for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's base loop on a virtual clock, without sockets, threads or real time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-6
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Act as the selector: advance the clock by the time it would sleep."""
        if timeout is None:
            raise DeadlockError(f"at {self._now:.6f} s nothing is ready and nothing is scheduled")
        self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no file descriptors."""

    def _write_to_self(self) -> None:
        """There is no other thread that wakes this one."""


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run `main` to its end on `loop`, which is closed then; raises DeadlockError."""
    try:
        return loop.run_until_complete(main)
    except DeadlockError:
        main.close()
        raise
    finally:
        loop.set_exception_handler(lambda _loop, _context: None)  # tasks that are left are discarded with the loop
        loop.close()
