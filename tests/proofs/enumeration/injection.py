"""Inject faults at one or two I/O points of an operation, let its caller retry or give up, restart, run the loops and
check."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.pg.batcher import Batcher
from autogrocery.kit.process.faults import Fault, Mode, SimulatedDeath, arm

if TYPE_CHECKING:
    from tests.proofs.enumeration.scenario import S, Scenario, Subject

MAX_CALLS = (
    32  # calls of one caller before it counts as stuck; 16 s if each waits for a lock that a hanging statement holds
)
SWEEPS = 2
OWN_DEADLINE = (
    "inventory.",
    "pricing.",
    "mail.",
    "sms.",
    "gateway.",
)  # a call that hangs at these points has a deadline of its own
NOT_REACHED = "no fault was injected"
REQUEST_DEADLINE_S = 5.0  # the deadline of a request: its caller gets a 503 and retries, while the action goes on


class Point(Struct, frozen=True):
    """The nth call of an operation at one named I/O point."""

    name: str
    nth: int


class Injection(Struct, frozen=True):
    """The faults injected into one run of a scenario, and whether its caller retries."""

    scenario: str
    faults: tuple[Fault, ...]
    retries: bool

    def __str__(self) -> str:
        chosen = " and ".join(f"{fault.point}:{fault.mode}:{fault.nth}" for fault in self.faults)
        return f"{self.scenario}, {chosen}, the caller {'retries' if self.retries else 'gives up'}"


async def record_points(env: S, scenario: Scenario[S], subject: Subject) -> list[Point]:
    """Run the operation without faults and return every I/O point that it passes."""
    await scenario.prepare(env, subject)
    with arm() as calls:
        with suppress(Refused):
            await scenario.act(env, subject)
        return [Point(name, nth) for name, count in calls.items() for nth in range(1, count + 1)]


async def inject(env: S, scenario: Scenario[S], subject: Subject, injection: Injection) -> list[str]:
    """Run the scenario with its faults; returns what is wrong with the subject afterwards (`env.violations` checks the
    whole)."""
    await scenario.prepare(env, subject)
    hanging: set[asyncio.Task[object]] = set()
    answer, pending = await _run_process(
        env, scenario, subject, injection.faults, MAX_CALLS if injection.retries else 1, hanging
    )
    while isinstance(answer, SimulatedDeath) and injection.retries:
        await env.restart()
        answer, pending = await _run_process(env, scenario, subject, pending, MAX_CALLS, hanging)
    hanging |= _orphaned_tasks()
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    failures = [] if len(pending) < len(injection.faults) else [NOT_REACHED]
    failures += _check_answer(scenario, injection, answer)
    if not injection.retries:
        await env.expire_quote(subject)
    await env.restart()
    for _ in range(SWEEPS):
        await env.run_loops(subject)
    if count_owed := await env.count_owed():
        failures.append(f"{count_owed} still owed after {SWEEPS} sweeps")
    return failures + await scenario.check(env, subject, injection.retries)


async def _run_process(
    env: S,
    scenario: Scenario[S],
    subject: Subject,
    faults: tuple[Fault, ...],
    times: int,
    hanging: set[asyncio.Task[object]],
) -> tuple[object, tuple[Fault, ...]]:
    """Call until there is an answer or the process is killed; returns the outcome and the faults not yet injected."""
    answer: object = None
    with arm(*faults, simulated=True) as calls:
        for _ in range(times):
            answer = await _act(env, scenario, subject, faults, calls, hanging)
            if isinstance(answer, SimulatedDeath) or not _is_retryable(answer):
                break
        passed = dict(calls)
    return answer, tuple(
        replace(fault, nth=fault.nth - passed.get(fault.point, 0))
        for fault in faults
        if fault.nth > passed.get(fault.point, 0)
    )


async def _act(
    env: S,
    scenario: Scenario[S],
    subject: Subject,
    faults: tuple[Fault, ...],
    calls: dict[str, int],
    hanging: set[asyncio.Task[object]],
) -> object:
    """Call once. A hanging statement is left running, as by a request whose deadline has passed."""
    before = dict(calls)
    task = asyncio.ensure_future(_outcome(scenario.act(env, subject)))
    hangs = [
        fault
        for fault in faults
        if fault.mode is Mode.HANG
        and fault.nth > before.get(fault.point, 0)
        and not fault.point.startswith(OWN_DEADLINE)
    ]
    while not task.done():
        await asyncio.wait({task}, timeout=0.01 if hangs else REQUEST_DEADLINE_S)
        if any(calls.get(fault.point, 0) >= fault.nth for fault in hangs):
            await asyncio.wait({task}, timeout=0.05)
            if not task.done():
                hanging.add(task)
                return Unavailable("deadline_exceeded", "the handler's deadline")
    return task.result()


def _orphaned_tasks() -> set[asyncio.Task[object]]:
    """Return tasks that a killed process would not leave: items of a loop, and statements hanging in a batcher."""
    gone = ("<locals>.one", Batcher._run.__qualname__)
    return {task for task in asyncio.all_tasks() if task.get_coro().__qualname__.endswith(gone)}  # type: ignore[union-attr]


async def _outcome(call: object) -> object:
    """Return what the caller receives: the result, a refusal, or an error that is retried."""
    try:
        return await call  # type: ignore[misc]
    except (Refused, Unavailable, InDoubt, SimulatedDeath) as answer:
        return answer
    except asyncio.CancelledError as answer:  # an injected cancellation, or the task of a hanging call
        return answer


def _is_retryable(answer: object) -> bool:
    return isinstance(answer, (Unavailable, InDoubt, SimulatedDeath, asyncio.CancelledError))


def _check_answer(scenario: Scenario[S], injection: Injection, answer: object) -> list[str]:
    if isinstance(answer, Refused) and answer.code not in scenario.refused:
        return [f"refused: {answer.code}"]
    if injection.retries and _is_retryable(answer):
        return [f"called {MAX_CALLS} times without an answer: {answer!r}"]
    return []
