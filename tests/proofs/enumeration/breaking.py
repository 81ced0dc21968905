"""Strike one or two I/O points of a deed, let its caller insist or walk away, restart, sweep, and look at what is left."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.process.faults import Fault, Killed, Mode, arm

if TYPE_CHECKING:
    from tests.proofs.enumeration.deeds import S, Scenario, Subject

INSISTS = 32  # times a caller asks again before we say that it is stuck; 16 s, if each waits in vain for a lock that hangs hold
SWEEPS = 2
OWN_DEADLINE = ("inventory.", "pricing.", "mail.", "sms.", "gateway.")  # a call that hangs there ends by itself
NOT_REACHED = "no point was reached"
HANDLER_S = 5.0  # PROTOCOL §6: after so long the caller is answered in the action's stead, and asks again


class Point(Struct, frozen=True):
    """The nth call that a deed makes at one of its ports."""

    name: str
    nth: int


class Broken(Struct, frozen=True):
    """One way to break a deed."""

    scenario: str
    faults: tuple[Fault, ...]
    insists: bool

    def __str__(self) -> str:
        struck = " and ".join(f"{fault.point}:{fault.mode}:{fault.nth}" for fault in self.faults)
        return f"{self.scenario}, {struck}, the caller {'insists' if self.insists else 'walks away'}"


async def points_of(stage: S, scenario: Scenario[S], one: Subject) -> list[Point]:
    """Run the deed unbroken, and return every point that it passes."""
    await scenario.prepare(stage, one)
    with arm() as calls:
        with suppress(Refused):
            await scenario.act(stage, one)
        return [Point(name, nth) for name, count in calls.items() for nth in range(1, count + 1)]


async def break_it(stage: S, scenario: Scenario[S], one: Subject, broken: Broken) -> list[str]:
    """Return what is not as it should be afterwards with this subject; of the whole, the stage's invariants tell."""
    await scenario.prepare(stage, one)
    hanging: set[asyncio.Task[object]] = set()
    answer, pending = await _one_life(stage, scenario, one, broken.faults, INSISTS if broken.insists else 1, hanging)
    while isinstance(answer, Killed) and broken.insists:
        await stage.restart()
        answer, pending = await _one_life(stage, scenario, one, pending, INSISTS, hanging)
    hanging |= _of_dead_loops()
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    wrong = [] if len(pending) < len(broken.faults) else [NOT_REACHED]
    wrong += _judge_answer(scenario, broken, answer)
    if not broken.insists:
        await stage.time_passes(one)
    await stage.restart()
    for _ in range(SWEEPS):
        await stage.sweep(one)
    if owed := await stage.owed():
        wrong.append(f"{owed} still owed after {SWEEPS} sweeps")
    return wrong + await scenario.rest(stage, one, broken.insists)


async def _one_life(
    stage: S,
    scenario: Scenario[S],
    one: Subject,
    faults: tuple[Fault, ...],
    times: int,
    hanging: set[asyncio.Task[object]],
) -> tuple[object, tuple[Fault, ...]]:
    """Act until there is an answer or the process dies; returns what was heard last, and the faults not yet struck."""
    answer: object = None
    with arm(*faults, pretend=True) as calls:
        for _ in range(times):
            answer = await _act(stage, scenario, one, faults, calls, hanging)
            if isinstance(answer, Killed) or not _again(answer):
                break
        passed = dict(calls)
    return answer, tuple(
        replace(fault, nth=fault.nth - passed.get(fault.point, 0))
        for fault in faults
        if fault.nth > passed.get(fault.point, 0)
    )


async def _act(
    stage: S,
    scenario: Scenario[S],
    one: Subject,
    faults: tuple[Fault, ...],
    calls: dict[str, int],
    hanging: set[asyncio.Task[object]],
) -> object:
    """Act once. A statement that hangs is left hanging, as a handler leaves it when its deadline has answered."""
    before = dict(calls)
    task = asyncio.ensure_future(_told(scenario.act(stage, one)))
    hangs = [
        fault
        for fault in faults
        if fault.mode is Mode.HANG
        and fault.nth > before.get(fault.point, 0)
        and not fault.point.startswith(OWN_DEADLINE)
    ]
    while not task.done():
        await asyncio.wait({task}, timeout=0.01 if hangs else HANDLER_S)
        if any(calls.get(fault.point, 0) >= fault.nth for fault in hangs):
            await asyncio.wait({task}, timeout=0.05)
            if not task.done():
                hanging.add(task)
                return Unavailable("deadline_exceeded", "the handler's deadline")
    return task.result()


def _of_dead_loops() -> set[asyncio.Task[object]]:
    """What a loop had in work beside the item that killed it, and what hangs in a lane; with a real process it would be gone."""
    gone = ("<locals>.one", "Lane._run")
    return {task for task in asyncio.all_tasks() if task.get_coro().__qualname__.endswith(gone)}  # type: ignore[union-attr]


async def _told(deed: object) -> object:
    """What its caller hears: an answer, a refusal, or something that says "ask again"."""
    try:
        return await deed  # type: ignore[misc]
    except (Refused, Unavailable, InDoubt, Killed) as answer:
        return answer
    except asyncio.CancelledError as answer:  # injected, or the task of a hanging call
        return answer


def _again(answer: object) -> bool:
    return isinstance(answer, (Unavailable, InDoubt, Killed, asyncio.CancelledError))


def _judge_answer(scenario: Scenario[S], broken: Broken, answer: object) -> list[str]:
    if isinstance(answer, Refused) and answer.code not in scenario.refused:
        return [f"refused: {answer.code}"]
    if broken.insists and _again(answer):
        return [f"asked {INSISTS} times without an answer: {answer!r}"]
    return []
