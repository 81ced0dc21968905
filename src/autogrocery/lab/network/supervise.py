"""Keep children running: restarted with back-off when they end, given up when they keep crashing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from autogrocery.kit.backoff import equal_jitter_s
from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_POLL_S: Final = 0.05
READY_POLL_S: Final = 0.01
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
MAX_CRASHES: Final = 5
CRASH_WINDOW_S: Final = 30.0
MAX_CRASHES_KEPT: Final = 100  # without a limit on crashes: enough for the longest pause


class Supervised(Protocol):
    """A supervised process: a role, or the database server."""

    name: str

    def clean_up(self) -> None:
        """End what a crashed process left behind; may block, so it runs in a thread."""

    def launch(self) -> None:
        """Start it. Forks, so it runs in the main thread."""

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""

    def ready(self) -> bool:
        """Return whether it is ready; raises StartError if it has ended."""

    def kill(self) -> None:
        """Send SIGKILL."""

    def exit_report(self) -> str:
        """Return a message that says how it ended."""


async def await_ready(child: Supervised, deadline_s: float) -> None:
    """Return once `child` is ready; raises StartError if it ends before, or is not ready within `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not child.ready():
        if time.monotonic() > deadline:
            child.kill()
            raise StartError(f"{child.name} was not ready within {deadline_s:g} s; {await _wait_for_exit(child)}")
        await asyncio.sleep(READY_POLL_S)


async def keep_running(
    child: Supervised,
    ready_deadline_s: float,
    restarted: Callable[[str], None],
    max_crashes: int | None = MAX_CRASHES,
) -> None:
    """Launch `child` again whenever it ends, with growing pauses; call `restarted(name)` each time it is ready again.

    Never returns. Raises StartError after `max_crashes` crashes (None: no limit) within CRASH_WINDOW_S seconds.
    LOOP_WINDOW_S seconds.
    """
    crashes: deque[float] = deque(maxlen=max_crashes or MAX_CRASHES_KEPT)
    while True:
        while child.poll() is None:  # noqa: ASYNC110 - the loop has no event for it
            await asyncio.sleep(EXIT_POLL_S)
        while True:
            crashes.append(time.monotonic())
            recent = sum(1 for at in crashes if crashes[-1] - at < CRASH_WINDOW_S)
            log.warning("child_crashed", child=child.name, status=child.poll(), recent=recent)
            if recent == max_crashes:
                raise StartError(
                    f"{child.name} crashed {recent} times within {CRASH_WINDOW_S:g} s; {child.exit_report()}"
                )
            await asyncio.sleep(equal_jitter_s(recent, BACKOFF_FIRST_S, BACKOFF_MAX_S))
            try:
                await asyncio.to_thread(child.clean_up)
                child.launch()
                await await_ready(child, ready_deadline_s)
            except StartError as error:
                log.warning("child_not_restarted", child=child.name, reason=str(error).partition("\n")[0])
            else:
                break
        restarted(child.name)
        log.info("child_restarted", child=child.name)


async def _wait_for_exit(child: Supervised) -> str:
    while child.poll() is None:  # noqa: ASYNC110 - it was killed: it ends at once
        await asyncio.sleep(READY_POLL_S)
    return child.exit_report()
