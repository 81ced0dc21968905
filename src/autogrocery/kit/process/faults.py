"""Named fault points: every port runs its calls through one, where tests can kill, fail, delay and repeat them.

While nothing is armed (always, in production) a point costs one truth test. A test arms faults in its own process with
`arm()`; `autogrocery.lab.faulty_role` arms a whole role with `arm_for_life(parse("orders.add:kill-after:2"))`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

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
    LATE = "late"  # the effect at once, the answer DELAY_S seconds later
    DUPLICATE = "duplicate"


class FaultError(ConnectionError):
    """The injected failure; a port treats it like any lost connection."""


class SimulatedDeath(BaseException):
    """Death inside a living process (`arm(..., simulated=True)`): no code catches it, and each later call raises it."""


class Fault(Struct, frozen=True):
    """A mode at a point, injected into the nth call only (1 is the first), or into every call if nth is 0."""

    point: str
    mode: Mode
    nth: int = 0


class _Plan(Struct):
    """What is armed in this process."""

    faults: list[Fault] = []
    calls: dict[str, int] = {}
    active: bool = False
    simulated: bool = False
    dead: bool = False


_plan = _Plan()


def parse(plan: str) -> list[Fault]:
    """Read a plan `point:mode[:nth],…`; raises ValueError on an unknown mode."""
    faults = []
    for part in filter(None, (piece.strip() for piece in plan.split(","))):
        point, mode, *nth = part.split(":")
        faults.append(Fault(point, Mode(mode), int(nth[0]) if nth else 0))
    return faults


def arm_for_life(faults: Iterable[Fault]) -> None:
    """Arm faults until this process ends; none leaves it as it is."""
    _plan.faults.extend(faults)
    _plan.active = _plan.active or bool(_plan.faults)


@contextmanager
def arm(*faults: Fault, simulated: bool = False) -> Iterator[dict[str, int]]:
    """Arm faults while the context lasts; yields the number of calls by point. Without faults it only counts.

    With `simulated` a kill raises `SimulatedDeath` instead of ending the process, and every point raises it from then
    on, until the context ends: what is left of the program has no further effect, as if it were dead.
    """
    global _plan  # noqa: PLW0603 - one plan a process, as one environment a process
    before = _plan
    _plan = _Plan([*before.faults, *faults], {}, active=True, simulated=simulated)
    try:
        yield _plan.calls
    finally:
        _plan = before


def active() -> bool:
    """Return whether faults are armed or calls are counted, so that a port may skip computing a point's name."""
    return _plan.active


def through(point: str, call: Callable[[], Awaitable[T]], within_s: float | None = None) -> Awaitable[T]:
    """Return `call()` to be awaited, with whatever is armed at `point`.

    `within_s` is the deadline that the call itself keeps: an injected hang ends there, with TimeoutError, or never.
    """
    return _injected(_plan, point, call, within_s) if _plan.active else call()


async def _injected(plan: _Plan, point: str, call: Callable[[], Awaitable[T]], within_s: float | None) -> T:
    if plan.dead:
        raise SimulatedDeath
    nth = plan.calls[point] = plan.calls.get(point, 0) + 1
    for fault in plan.faults:
        if fault.point == point and fault.nth in (0, nth):
            return await _inject(plan, fault.mode, call, within_s)
    answer = await call()
    if plan.dead:  # killed at another point while this call was under way: its answer has no further effect
        raise SimulatedDeath
    return answer


async def _inject(plan: _Plan, mode: Mode, call: Callable[[], Awaitable[T]], within_s: float | None) -> T:
    match mode:
        case Mode.KILL_BEFORE:
            _kill(plan)
        case Mode.ERROR_BEFORE:
            raise FaultError("injected before the call")
        case Mode.HANG:
            async with asyncio.timeout(within_s):
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
    if not plan.simulated:
        os.kill(os.getpid(), signal.SIGKILL)
    plan.dead = True
    raise SimulatedDeath
