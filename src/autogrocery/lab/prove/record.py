"""The record of a run: every fault, the probes, and when which step succeeded."""

from __future__ import annotations

import time
from typing import Final

from msgspec import Struct

from autogrocery.lab.prove.schedule import Kind  # noqa: TC001 - msgspec reads it from Fault

# The steps whose success shows that a target has recovered; the first one is the one that is reported.
RECOVERY_STEPS: Final[dict[str, tuple[str, ...]]] = {
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
    """One injected fault.

    `ended_s` is when its process was ready again or continued, or its link had no faults any more; None: never.
    """

    kind: Kind
    target: str
    how: str
    began_s: float
    ended_s: float | None = None


class Probe(Struct, frozen=True):
    """One GET of the prober, retry included; `tries` counts its connections."""

    at_s: float
    took_s: float
    ok: bool
    tries: int = 1

    @property
    def ended_s(self) -> float:
        """When the answer arrived, or the probe was given up."""
        return self.at_s + self.took_s


class Record:
    """All times are seconds since `started_at`, on the monotonic clock."""

    def __init__(self) -> None:
        self.started_at = time.monotonic()
        self.started_wall_s = time.time()
        self.faults: list[Fault] = []
        self.device_probes: list[Probe] = []  # as devices send them, through the public link
        self.balancer_probes: list[Probe] = []  # as a balancer sends them, to either gateway
        self.successes: dict[str, list[float]] = {}

    def now_s(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started_at

    def begin(self, kind: Kind, target: str, how: str) -> Fault:
        """Record that a fault has begun."""
        fault = Fault(kind, target, how, self.now_s())
        self.faults.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """Record that the fault has ended."""
        fault.ended_s = self.now_s()

    def succeed(self, step: str, at_s: float | None = None) -> None:
        """Record a success of `step`, now or at `at_s`."""
        self.successes.setdefault(step, []).append(self.now_s() if at_s is None else at_s)
