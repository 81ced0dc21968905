"""What happened in a run, second by second: every fault and what was seen of the network meanwhile."""

from __future__ import annotations

import time
from typing import Final

from msgspec import Struct

from autogrocery.lab.prove.schedule import Kind  # noqa: TC001 - msgspec reads it from Fault

# By which steps it shows that a target is itself again; the first is the one that counts.
STEPS_OF: Final[dict[str, tuple[str, ...]]] = {
    "gateway-1": ("GET at gateway-1", "preview"),
    "gateway-2": ("GET at gateway-2", "preview"),
    "inventory": ("confirm",),
    "pricing": ("preview",),
    "robots": ("complete",),
    "analytics": ("metrics",),
    "postgresql": ("confirm", "GET"),
    "postgresql-1": ("GET at gateway-1", "confirm"),
    "postgresql-2": ("GET at gateway-2", "confirm"),
    "inventory-link": ("confirm",),
    "pricing-link": ("preview",),
    "public": ("GET", "confirm"),
    "internal": ("complete",),
}


class Fault(Struct):
    """One disaster as it came: `ended_s` is when its process was ready again, went on, or the weather was calm; None: never."""

    kind: Kind
    target: str
    how: str
    began_s: float
    ended_s: float | None = None


class Look(Struct, frozen=True):
    """One GET of the prober, retry included; `tries` is how many connections it took."""

    at_s: float
    took_s: float
    ok: bool
    tries: int = 1

    @property
    def ended_s(self) -> float:
        """When the answer was there, or none was going to come."""
        return self.at_s + self.took_s


class Record:
    """Times are seconds since `started_at`, on the monotonic clock."""

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.started_wall_s = time.time()
        self.faults: list[Fault] = []
        self.looks: list[Look] = []  # by devices, over the public link and its weather
        self.balanced: list[Look] = []  # as a balancer sends them on, to either gateway
        self.successes: dict[str, list[float]] = {}

    def now_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started_at

    def begin(self, kind: Kind, target: str, how: str) -> Fault:
        """Note that a disaster has struck."""
        fault = Fault(kind, target, how, self.now_s())
        self.faults.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """Note that its cause is over."""
        fault.ended_s = self.now_s()

    def succeed(self, step: str, at_s: float | None = None) -> None:
        """Note that a step worked."""
        self.successes.setdefault(step, []).append(self.now_s() if at_s is None else at_s)
