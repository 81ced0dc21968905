"""Named fault points: every port runs its calls through one, so that tests can kill, fail, delay and repeat there.

Unarmed (always, in production) a point costs one truth test. Armed by `arm()` in a test, or in a whole process by
`AUTOGROCERY_FAULTS="orders.add:kill-after:2,inventory.assign_robots:hang"` (point:mode[:nth call, 1 is the first]).
"""

from __future__ import annotations

import asyncio
import os
import signal
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

from contextlib import contextmanager

from msgspec import Struct

T = TypeVar("T")
DELAY_S = 0.05


class Mode(StrEnum):
    """What goes wrong at a point."""

    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"
    ERROR_BEFORE = "error-before"
    EFFECT_THEN_ERROR = "effect-then-error"
    CANCELLED = "cancelled"
    HANG = "hang"
    DELAY = "delay"
    LATE = "late"  # the effect at once, the answer after a while
    DUPLICATE = "duplicate"


class FaultError(ConnectionError):
    """The injected failure; a port treats it like any lost connection."""


class Killed(BaseException):
    """Death inside a living process, for tests (`arm(..., pretend=True)`): nothing may catch it, no port answers after it."""


class Fault(Struct, frozen=True):
    """A mode at a point, struck on the nth call only, or on every call if nth is 0."""

    point: str
    mode: Mode
    nth: int = 0


class _Plan(Struct):
    """What is armed in this process."""

    faults: list[Fault] = []
    calls: dict[str, int] = {}
    counting: bool = False
    pretend: bool = False
    dead: bool = False


_plan = _Plan()


def parse(plan: str) -> list[Fault]:
    """Read a plan `point:mode[:nth],…`; raises ValueError on an unknown mode."""
    faults = []
    for part in filter(None, (piece.strip() for piece in plan.split(","))):
        point, mode, *nth = part.split(":")
        faults.append(Fault(point, Mode(mode), int(nth[0]) if nth else 0))
    return faults


def arm_from(environ: Mapping[str, str]) -> None:
    """Arm what AUTOGROCERY_FAULTS says, for the life of this process."""
    _plan.faults.extend(parse(environ.get("AUTOGROCERY_FAULTS", "")))
    _plan.counting = _plan.counting or bool(_plan.faults)


@contextmanager
def arm(*faults: Fault, pretend: bool = False) -> Iterator[dict[str, int]]:
    """Arm faults in this process while the context lasts; yields the calls counted by point (none armed: a dry run).

    With `pretend` a kill raises `Killed` instead of ending the process, and every point raises it from then on: what is
    left of the program can do nothing more, as if it were dead, until the context ends.
    """
    global _plan  # noqa: PLW0603 - one plan a process, as one environment a process
    before = _plan
    _plan = _Plan([*before.faults, *faults], {}, counting=True, pretend=pretend)
    try:
        yield _plan.calls
    finally:
        _plan = before


def counting() -> bool:
    """Say whether points matter now, so that a port may spare itself the making of a name."""
    return _plan.counting


async def through(point: str, call: Callable[[], Awaitable[T]]) -> T:
    """Await `call()`, with whatever is armed at `point`."""
    plan = _plan
    if not plan.counting:
        return await call()
    if plan.dead:
        raise Killed
    nth = plan.calls[point] = plan.calls.get(point, 0) + 1
    for fault in plan.faults:
        if fault.point == point and fault.nth in (0, nth):
            return await _strike(plan, fault.mode, call)
    answer = await call()
    if plan.dead:  # killed at another point while this call was under way: its answer reaches nobody
        raise Killed
    return answer


async def _strike(plan: _Plan, mode: Mode, call: Callable[[], Awaitable[T]]) -> T:
    match mode:
        case Mode.KILL_BEFORE:
            _kill(plan)
        case Mode.ERROR_BEFORE:
            raise FaultError("injected before the call")
        case Mode.HANG:
            await asyncio.Event().wait()
        case Mode.DELAY:
            await asyncio.sleep(DELAY_S)
        case Mode.DUPLICATE:
            await call()
        case _:
            pass
    answer = await call()
    match mode:
        case Mode.KILL_AFTER:
            _kill(plan)
        case Mode.EFFECT_THEN_ERROR:
            raise FaultError("injected after the effect")
        case Mode.LATE:
            await asyncio.sleep(DELAY_S)
        case Mode.CANCELLED:
            raise asyncio.CancelledError
        case _:
            pass
    return answer


def _kill(plan: _Plan) -> None:
    if not plan.pretend:
        os.kill(os.getpid(), signal.SIGKILL)
    plan.dead = True
    raise Killed
