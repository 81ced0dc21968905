"""What is broken, when and how: a list drawn from a seed, so that a run can be repeated and read before it happens."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from autogrocery.lab.fault_proxy import Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Kind = Literal["kill", "pause", "database", "weather"]
PROCESSES: Final = ("gateway-1", "gateway-2", "inventory", "pricing", "robots", "analytics")
DATABASE: Final = "postgresql"
LINKS: Final = ("postgresql-1", "postgresql-2", "inventory-link", "pricing-link", "public", "internal")
STOPS: Final = ("immediate", "kill")  # of the database: SIGQUIT and SIGKILL to its first process
WEATHERS: Final = {
    "slow": Weather(latency_s=0.1, jitter_s=0.2),
    "slices": Weather(slice_bytes=7, latency_s=0.001),
    "reset": Weather(reset_after_bytes=3_000),
    "swallowed replies": Weather(swallow_replies=True),
    "black hole": Weather(black_hole=True),
    "half close": Weather(half_close=True),
    "refuse": Weather(refuse=True),
}
# (shortest, longest) pause between two of a kind, in seconds
BETWEEN_S: Final[dict[Kind, tuple[float, float]]] = {
    "kill": (2.0, 8.0),
    "pause": (5.0, 12.0),
    "database": (5.0, 20.0),
    "weather": (2.0, 5.0),
}
LASTS_S: Final = (1.0, 4.0)  # a pause and a weather
CALM_AT_FIRST_S: Final = 1.5


class Event(Struct, frozen=True):
    """One disaster: `at_s` seconds after the beginning something is done to `target`; pauses and weathers last `lasts_s`."""

    at_s: float
    kind: Kind
    target: str
    how: str
    lasts_s: float = 0.0


def schedule(seed: int, lasts_s: float) -> list[Event]:
    """Return the disasters of `lasts_s` seconds, in the order of their times; the same seed gives the same list.

    The list of a shorter time is the beginning of a longer one's, but for what would outlast its end.
    """
    drawn = (_draw(kind, random.Random(f"{kind}/{seed}"), lasts_s) for kind in BETWEEN_S)
    return sorted((event for part in drawn for event in part), key=lambda event: event.at_s)


def _draw(kind: Kind, chance: random.Random, lasts_s: float) -> Iterator[Event]:
    targets, ways = _in_turns(chance, _targets(kind)), _in_turns(chance, _ways(kind))
    at_s = CALM_AT_FIRST_S + chance.uniform(0, BETWEEN_S[kind][0])
    while True:
        event = Event(round(at_s, 2), kind, targets(), ways(), _length(kind, chance))
        if event.at_s + event.lasts_s > lasts_s:
            return
        yield event
        at_s += chance.uniform(*BETWEEN_S[kind])


def _targets(kind: Kind) -> Sequence[str]:
    return {"database": (DATABASE,), "weather": LINKS}.get(kind, PROCESSES)


def _ways(kind: Kind) -> Sequence[str]:
    return {"kill": ("SIGKILL",), "pause": ("SIGSTOP",), "database": STOPS, "weather": tuple(WEATHERS)}[kind]


def _length(kind: Kind, chance: random.Random) -> float:
    return round(chance.uniform(*LASTS_S), 2) if kind in ("pause", "weather") else 0.0


def _in_turns(chance: random.Random, choices: Sequence[str]) -> Callable[[], str]:
    """Draw without putting back until all have been drawn: in a short run, too, each comes up."""
    deck: list[str] = []

    def draw() -> str:
        if not deck:
            deck.extend(choices)
            chance.shuffle(deck)
        return deck.pop()

    return draw
