"""What lies between a gateway and everything else: latency, loss, late and repeated requests, all drawn from the seed."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from autogrocery.gateway.core.quote import Quote
from autogrocery.gateway.peers.inventory import Hold, Standing
from autogrocery.kit.process.faults import Killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.proofs.simulation.loop import VirtualLoop

T = TypeVar("T")
QUICK_S = (0.0, 0.0, 0.0, 0.001, 0.002, 0.01, 0.05, 0.2)
SLOW_S = (0.0, 0.01, 0.05, 0.1, 0.3, 0.6)
LATE_S = 1.5  # by which a request may outlive its caller's patience


class Fate(StrEnum):
    """What becomes of one call."""

    WELL = "well"
    LOST = "error before the effect"
    UNANSWERED = "error after the effect"
    SWALLOWED = "no answer, no effect"
    LATE = "no answer, the effect comes later"
    REPEATED = "the effect comes once more later"
    KILLED_BEFORE = "the process dies before the call"
    KILLED_AFTER = "the process dies after the effect"


KILLS = (Fate.KILLED_BEFORE, Fate.KILLED_AFTER)
TROUBLES = (Fate.LOST, Fate.UNANSWERED, Fate.SWALLOWED, Fate.LATE)


class Weather(Struct):
    """The chance of each call to go wrong; `repeated` of a request to a peer to arrive twice; `slow` of a lock to be waited for.

    Calls at a point in `focus` go wrong with a chance of their own, `focused`, and always in the way that stands there, if one does:
    a run that breaks one thing again and again comes to where no other comes.
    """

    trouble: float = 0.0
    kill: float = 0.0
    focus: dict[str, Fate | None] = {}
    focused: float = 0.0
    pauses_s: tuple[float, ...] = QUICK_S
    repeated: float = 0.0
    slow: float = 0.0


class Event(Struct, frozen=True, array_like=True):
    """One line of the trace."""

    at: float
    who: str
    what: str
    order: str
    result: str

    def __str__(self) -> str:
        return f"{self.at:12.6f} {self.who:<11} {self.what:<32} {self.order:<5} {self.result}"


class Journal:
    """The trace of a run. Orders are numbered as they appear, so that a random id changes nothing."""

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


class Life:
    """A process: what it calls after its death has no effect, and no answer reaches it."""

    def __init__(self, name: str, on_death: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.alive = True
        self._on_death = on_death

    def die(self) -> None:
        """End, if it lives."""
        if self.alive:
            self.alive = False
            self._on_death()

    def require(self) -> None:
        if not self.alive:
            raise Killed


class Network:
    """Carries every call; `away` names the ports that are down."""

    def __init__(self, loop: VirtualLoop, rng: Random, journal: Journal) -> None:
        self.weather = Weather()
        self.away: set[str] = set()
        self.loop = loop
        self.rng = rng
        self.journal = journal

    async def carry(
        self,
        life: Life,
        point: str,
        order_id: Any,
        effect: Callable[[], T],
        *,
        deadline_s: float,
        trouble: Callable[[str], Exception],
    ) -> T:
        """Bring a call to its effect and the answer back, if the weather allows; raises `trouble` otherwise, and Killed."""
        life.require()
        fate = self._fate(point)
        try:
            await self.pause()
        except asyncio.CancelledError:  # whoever waited is gone; what was sent is on its way
            if fate not in {Fate.LOST, Fate.SWALLOWED}:
                self._later(life, point, order_id, effect)
            raise
        if fate is Fate.KILLED_BEFORE:
            self.journal.note(life.name, point, order_id, fate)
            life.die()
            life.require()
        if fate in {Fate.LOST, Fate.SWALLOWED, Fate.LATE}:
            self.journal.note(life.name, point, order_id, fate)
            if fate is not Fate.LOST:
                await asyncio.sleep(deadline_s)
            if fate is Fate.LATE:
                self._later(life, point, order_id, effect)
            life.require()
            raise trouble(fate)
        answer = effect()
        self.journal.note(
            life.name, point, order_id, _short(answer) if fate is Fate.WELL else f"{_short(answer)}, {fate}"
        )
        if fate is Fate.REPEATED:
            self._later(life, point, order_id, effect)
        if fate is Fate.KILLED_AFTER:
            life.die()
        await self.pause()
        life.require()
        if fate is Fate.UNANSWERED:
            raise trouble(fate)
        return answer

    async def pause(self) -> None:
        """Take a while, or only let others go first."""
        await asyncio.sleep(self.rng.choice(self.weather.pauses_s))

    def _later(self, life: Life, point: str, order_id: Any, effect: Callable[[], Any]) -> None:
        def arrive() -> None:
            self.journal.note(life.name, point, order_id, f"late: {_short(effect())}")

        self.loop.call_later(self.rng.uniform(0, LATE_S), arrive)

    def _fate(self, point: str) -> Fate:
        port = point.partition(".")[0]
        if port in self.away:
            return Fate.LOST if self.rng.random() < 0.7 else Fate.SWALLOWED
        if self.rng.random() < self.weather.kill:
            return self.rng.choice(KILLS)
        focus = self.weather.focus
        if self.rng.random() < (self.weather.focused if point in focus else self.weather.trouble):
            return focus.get(point) or self.rng.choice(TROUBLES)
        if port == "inventory" and self.rng.random() < self.weather.repeated:
            return Fate.REPEATED
        return Fate.WELL


def _short(answer: object) -> str:
    """Return an answer as the trace shows it, without the ids that differ from run to run."""
    match answer:
        case list() | tuple():
            said = f"{len(answer)} {'rows' if isinstance(answer, list) else 'robots'}"
        case Hold(refusal=None):
            said = f"granted {dict(answer.granted)}"
        case Hold():
            said = f"refused: {answer.refusal}"
        case Standing():
            said = f"{answer.state} {dict(answer.picked)}"
        case Quote():
            said = f"{len(answer.prices)} prices"
        case _:
            said = str(answer)
    return said
