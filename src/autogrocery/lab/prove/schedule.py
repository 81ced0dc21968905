"""The schedule of faults: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from autogrocery.lab.fault_proxy import NetworkFaults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Kind = Literal["kill", "pause", "database", "network"]
PROCESSES: Final = ("gateway-1", "gateway-2", "inventory", "pricing", "robots", "analytics")
DATABASE: Final = "postgresql"
LINKS: Final = ("postgresql-1", "postgresql-2", "inventory-link", "pricing-link", "public", "internal")
DATABASE_SIGNALS: Final = ("immediate", "kill")  # how the database is ended: SIGQUIT or SIGKILL to the postmaster
NETWORK_FAULTS: Final = {
    "slow": NetworkFaults(latency_s=0.1, jitter_s=0.2),
    "slices": NetworkFaults(slice_bytes=7, latency_s=0.001),
    "reset": NetworkFaults(reset_after_bytes=3_000),
    "swallowed replies": NetworkFaults(swallow_replies=True),
    "black hole": NetworkFaults(black_hole=True),
    "half close": NetworkFaults(half_close=True),
    "refuse": NetworkFaults(refuse=True),
}
# (shortest, longest) interval between two faults of a kind, in seconds
INTERVAL_S: Final[dict[Kind, tuple[float, float]]] = {
    "kill": (2.0, 8.0),
    "pause": (5.0, 12.0),
    "database": (5.0, 20.0),
    "network": (2.0, 5.0),
}
DURATION_S: Final = (1.0, 4.0)  # (shortest, longest) duration of a pause or a network fault, in seconds
FIRST_FAULT_AFTER_S: Final = 1.5


class ScheduledFault(Struct, frozen=True):
    """A fault of `target`, `at_s` seconds after the start; pauses and network faults last `duration_s` seconds."""

    at_s: float
    kind: Kind
    target: str
    how: str
    duration_s: float = 0.0


def schedule(seed: int, duration_s: float) -> list[ScheduledFault]:
    """Return the faults of a phase of `duration_s` seconds, in order of time; the same seed gives the same list.

    The list of a shorter phase is the beginning of a longer one's, less the faults that would outlast the phase.
    """
    drawn = (_draw_faults(kind, random.Random(f"{kind}/{seed}"), duration_s) for kind in INTERVAL_S)
    return sorted((scheduled for part in drawn for scheduled in part), key=lambda scheduled: scheduled.at_s)


def _draw_faults(kind: Kind, rng: random.Random, duration_s: float) -> Iterator[ScheduledFault]:
    targets, methods = _shuffled_cycle(rng, _targets(kind)), _shuffled_cycle(rng, _methods(kind))
    at_s = FIRST_FAULT_AFTER_S + rng.uniform(0, INTERVAL_S[kind][0])
    while True:
        scheduled = ScheduledFault(round(at_s, 2), kind, targets(), methods(), _duration(kind, rng))
        if scheduled.at_s + scheduled.duration_s > duration_s:
            return
        yield scheduled
        at_s += rng.uniform(*INTERVAL_S[kind])


def _targets(kind: Kind) -> Sequence[str]:
    return {"database": (DATABASE,), "network": LINKS}.get(kind, PROCESSES)


def _methods(kind: Kind) -> Sequence[str]:
    return {
        "kill": ("SIGKILL",),
        "pause": ("SIGSTOP",),
        "database": DATABASE_SIGNALS,
        "network": tuple(NETWORK_FAULTS),
    }[kind]


def _duration(kind: Kind, rng: random.Random) -> float:
    return round(rng.uniform(*DURATION_S), 2) if kind in ("pause", "network") else 0.0


def _shuffled_cycle(rng: random.Random, choices: Sequence[str]) -> Callable[[], str]:
    """Return a function that draws each choice once before any comes again, so that a short run has all of them."""
    deck: list[str] = []

    def draw() -> str:
        if not deck:
            deck.extend(choices)
            rng.shuffle(deck)
        return deck.pop()

    return draw
