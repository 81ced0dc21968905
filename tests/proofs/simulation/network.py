"""The network between a gateway and its ports: latency, loss, delayed and repeated requests, drawn from the seed."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from autogrocery.gateway.core.quote import Quote
from autogrocery.gateway.peers.inventory import Hold, OrderReport
from autogrocery.kit.process.faults import SimulatedDeath

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.proofs.simulation.loop import VirtualLoop

T = TypeVar("T")
QUICK_S = (0.0, 0.0, 0.0, 0.001, 0.002, 0.01, 0.05, 0.2)
SLOW_S = (0.0, 0.01, 0.05, 0.1, 0.3, 0.6)
LATE_S = 1.5  # how long after its caller's deadline a request may arrive


class CallOutcome(StrEnum):
    """The outcome of one call."""

    WELL = "well"
    LOST = "error before the effect"
    UNANSWERED = "error after the effect"
    SWALLOWED = "no answer, no effect"
    LATE = "no answer, the effect comes later"
    REPEATED = "the effect comes once more later"
    KILLED_BEFORE = "the process dies before the call"
    KILLED_AFTER = "the process dies after the effect"


KILLS = (CallOutcome.KILLED_BEFORE, CallOutcome.KILLED_AFTER)
FAULTS = (CallOutcome.LOST, CallOutcome.UNANSWERED, CallOutcome.SWALLOWED, CallOutcome.LATE)


class FaultRates(Struct):
    """Probabilities: `fault` of a call to fail, `repeated` of a request to arrive twice, `slow` of a lock to be waited
    for.

    A call at a point in `focus` fails with the probability `focused`, in the listed way if there is one: a run that
    breaks one point repeatedly reaches states that no other run reaches.
    """

    fault: float = 0.0
    kill: float = 0.0
    focus: dict[str, CallOutcome | None] = {}
    focused: float = 0.0
    pauses_s: tuple[float, ...] = QUICK_S
    repeated: float = 0.0
    slow: float = 0.0


class Event(Struct, frozen=True, array_like=True):
    """One event of the trace."""

    at: float
    who: str
    what: str
    order: str
    result: str

    def __str__(self) -> str:
        return f"{self.at:12.6f} {self.who:<11} {self.what:<32} {self.order:<5} {self.result}"


class Trace:
    """The trace of a run. Orders are numbered by their appearance, so that random ids do not change it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.events: list[Event] = []
        self.loop = loop
        self._numbers: dict[Any, str] = {}

    def name(self, order_id: Any) -> str:
        if order_id is None:
            return ""
        key = getattr(order_id, "int", order_id)
        return self._numbers.setdefault(key, f"o{len(self._numbers) + 1}")

    def note(self, who: str, what: str, order_id: Any = None, result: object = "") -> None:
        self.events.append(Event(self.loop.time(), who, what, self.name(order_id), str(result)))


class Process:
    """The life of a process: once ended, its new calls have no effect and it receives no reply."""

    def __init__(self, name: str, on_end: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.alive = True
        self._on_end = on_end

    def kill(self) -> None:
        """End the process unless it has ended."""
        if self.alive:
            self.alive = False
            self._on_end()

    def require(self) -> None:
        if not self.alive:
            raise SimulatedDeath


class Network:
    """Carries every call; `down` is the set of unavailable ports."""

    def __init__(self, loop: VirtualLoop, rng: Random, trace: Trace) -> None:
        self.fault_rates = FaultRates()
        self.down: set[str] = set()
        self.loop = loop
        self.rng = rng
        self.trace = trace

    async def carry(
        self,
        process: Process,
        point: str,
        order_id: Any,
        effect: Callable[[], T],
        *,
        deadline_s: float,
        make_error: Callable[[str], Exception],
    ) -> T:
        """Carry a call and its reply, subject to the faults; raises what `make_error` returns, or Killed."""
        process.require()
        call_outcome = self._fate(point)
        try:
            await self.pause()
        except asyncio.CancelledError:  # the caller was cancelled; its request is in flight
            if call_outcome not in {CallOutcome.LOST, CallOutcome.SWALLOWED}:
                self._later(process, point, order_id, effect)
            raise
        if call_outcome is CallOutcome.KILLED_BEFORE:
            self.trace.note(process.name, point, order_id, call_outcome)
            process.kill()
            process.require()
        if call_outcome in {CallOutcome.LOST, CallOutcome.SWALLOWED, CallOutcome.LATE}:
            self.trace.note(process.name, point, order_id, call_outcome)
            if call_outcome is not CallOutcome.LOST:
                await asyncio.sleep(deadline_s)
            if call_outcome is CallOutcome.LATE:
                self._later(process, point, order_id, effect)
            process.require()
            raise make_error(call_outcome)
        answer = effect()
        self.trace.note(
            process.name,
            point,
            order_id,
            _summary(answer) if call_outcome is CallOutcome.WELL else f"{_summary(answer)}, {call_outcome}",
        )
        if call_outcome is CallOutcome.REPEATED:
            self._later(process, point, order_id, effect)
        if call_outcome is CallOutcome.KILLED_AFTER:
            process.kill()
        await self.pause()
        process.require()
        if call_outcome is CallOutcome.UNANSWERED:
            raise make_error(call_outcome)
        return answer

    async def pause(self) -> None:
        """Wait a drawn time, at least until other ready tasks have run."""
        await asyncio.sleep(self.rng.choice(self.fault_rates.pauses_s))

    def _later(self, process: Process, point: str, order_id: Any, effect: Callable[[], Any]) -> None:
        def arrive() -> None:
            self.trace.note(process.name, point, order_id, f"late: {_summary(effect())}")

        self.loop.call_later(self.rng.uniform(0, LATE_S), arrive)

    def _fate(self, point: str) -> CallOutcome:
        port = point.partition(".")[0]
        if port in self.down:
            return CallOutcome.LOST if self.rng.random() < 0.7 else CallOutcome.SWALLOWED
        if self.rng.random() < self.fault_rates.kill:
            return self.rng.choice(KILLS)
        focus = self.fault_rates.focus
        if self.rng.random() < (self.fault_rates.focused if point in focus else self.fault_rates.fault):
            return focus.get(point) or self.rng.choice(FAULTS)
        if port == "inventory" and self.rng.random() < self.fault_rates.repeated:
            return CallOutcome.REPEATED
        return CallOutcome.WELL


def _summary(answer: object) -> str:
    """Return a reply for the trace, without ids that differ between runs."""
    match answer:
        case list() | tuple():
            said = f"{len(answer)} {'rows' if isinstance(answer, list) else 'robots'}"
        case Hold(refusal=None):
            said = f"granted {dict(answer.granted)}"
        case Hold():
            said = f"refused: {answer.refusal}"
        case OrderReport():
            said = f"{answer.state} {dict(answer.picked)}"
        case Quote():
            said = f"{len(answer.prices)} prices"
        case _:
            said = str(answer)
    return said
