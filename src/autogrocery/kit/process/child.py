"""Another role as a child of this process: kept running at a lower priority, ended with it, never in its way."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from autogrocery.kit.backoff import equal_jitter_s
from autogrocery.kit.process.log import log
from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.process.priority import lower_priority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

BACKOFF_FIRST_S: Final = 0.5
BACKOFF_CAP_S: Final = 30.0
STABLE_S: Final = 60.0  # a child that ran for so long is started again as if it had never failed
STOP_S: Final = 4.0  # from SIGTERM to SIGKILL


@asynccontextmanager
async def running_child(
    name: str, command: Sequence[str], environ: Mapping[str, str], *, nice: int
) -> AsyncIterator[None]:
    """Keep `command` running at the priority `nice` while the context lasts, with exactly this environment.

    A child that ends is started again, after half a second up to BACKOFF_CAP_S. Leaving the context sends SIGTERM, and
    SIGKILL STOP_S seconds later; the kernel sends SIGTERM if this process dies. Its output goes where this process's
    does. Fork in the main thread.
    """
    keeping = asyncio.create_task(_keep_running(name, command, environ, nice), name=f"child:{name}")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


async def _keep_running(name: str, command: Sequence[str], environ: Mapping[str, str], nice: int) -> None:
    failed = 0
    while True:
        started_at = time.monotonic()
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                env=dict(environ),
                start_new_session=True,  # Ctrl-C reaches only the parent, which stops the child
                preexec_fn=_before_start(nice),
            )
        except OSError as error:
            log.error("child_not_started", child=name, reason=type(error).__name__)
        else:
            await _wait_for_end(name, child)
        failed = 1 if time.monotonic() - started_at > STABLE_S else failed + 1
        await asyncio.sleep(equal_jitter_s(failed, BACKOFF_FIRST_S, BACKOFF_CAP_S))


async def _wait_for_end(name: str, child: asyncio.subprocess.Process) -> None:
    """Wait until the child ends; end it if this task is cancelled."""
    log.info("child_started", child=name, pid=child.pid)
    try:
        status = await child.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await child.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        raise
    log.warning("child_ended", child=name, status=status)


def _before_start(nice: int) -> Callable[[], None]:
    die_with_us = dies_with_us(signal.SIGTERM)

    def prepare() -> None:
        die_with_us()
        lower_priority(nice)

    return prepare
