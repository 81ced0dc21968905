"""An event loop in which nothing waits: when nothing is ready the clock moves on to what is scheduled next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Nothing is ready and nothing is scheduled: whoever still waits will wait for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own loop on a virtual clock, without a socket, a thread or a real second."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-6
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Take the place of the selector: what it would sleep, the clock moves on."""
        if timeout is None:
            raise DeadlockError(f"at {self._now:.6f} s nothing is ready and nothing is scheduled")
        self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """No file descriptor, no event."""

    def _write_to_self(self) -> None:
        """No other thread, nobody to be woken by."""


def run(main: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run `main` to its end on `loop`, which is closed then; raises DeadlockError."""
    try:
        return loop.run_until_complete(main)
    except DeadlockError:
        main.close()
        raise
    finally:
        loop.set_exception_handler(lambda _loop, _context: None)  # what is left behind is thrown away with the loop
        loop.close()
