"""How long it took to be well again, and how much of the time one was: plain arithmetic over what was recorded."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.prove.record import STEPS_OF
from autogrocery.lab.replay.figures import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from autogrocery.lab.prove.record import Fault, Look

    Span = tuple[float, float]

FOR_EVER: Final = float("inf")


class Recovery(Struct, frozen=True):
    """From the end of a fault's cause to the first success of `step`.

    `took_s` None: the step was not seen before the same target was struck again (`overtaken`), or never.
    `disturbed`: another fault lay between the two.
    """

    target: str
    kind: str
    step: str
    ended_s: float
    took_s: float | None
    overtaken: bool = False
    disturbed: bool = False


class Spread(Struct, frozen=True):
    """Seconds: how many were measured, the median, the 99th percentile by nearest rank, and the longest."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float


class Availability(Struct, frozen=True):
    """Of the GETs that lay wholly outside of some spans: how many there were and how many were answered."""

    asked: int
    answered: int

    @property
    def share(self) -> float | None:
        """Answered of asked; None if none was asked."""
        return self.answered / self.asked if self.asked else None


def recoveries(faults: Sequence[Fault], successes: Mapping[str, Iterable[float]]) -> list[Recovery]:
    """Return how long every fault whose cause ended was still felt, by each step that shows it."""
    by_step = {step: sorted(times) for step, times in successes.items()}
    return [
        _recovery(fault, step, by_step.get(step, []), faults)
        for fault in faults
        if fault.ended_s is not None
        for step in STEPS_OF[fault.target]
    ]


def _recovery(fault: Fault, step: str, times: list[float], faults: Sequence[Fault]) -> Recovery:
    assert fault.ended_s is not None
    ended_s = fault.ended_s
    place = bisect_right(times, ended_s)
    first_s = times[place] if place < len(times) else None
    others = [other for other in faults if other is not fault]
    again_s = min(
        (o.began_s for o in others if o.target == fault.target and _lasts_beyond(o, ended_s)), default=FOR_EVER
    )
    if first_s is None or first_s > again_s:
        return Recovery(fault.target, fault.kind, step, ended_s, None, overtaken=again_s < FOR_EVER)
    disturbed = any(o.began_s < first_s and _lasts_beyond(o, ended_s) for o in others)
    return Recovery(fault.target, fault.kind, step, ended_s, first_s - ended_s, disturbed=disturbed)


def _lasts_beyond(fault: Fault, at_s: float) -> bool:
    return fault.ended_s is None or fault.ended_s > at_s


def spread(recovered: Iterable[Recovery]) -> Spread | None:
    """Return the spread of the times that were measured; None if none was."""
    times = [one.took_s for one in recovered if one.took_s is not None]
    if not times:
        return None
    return Spread(len(times), percentile(times, 0.5), percentile(times, 0.99), max(times))


def spans(faults: Iterable[Fault], *targets: str) -> list[Span]:
    """Return when one of `targets` was struck, as spans apart from each other, in order."""
    struck = sorted(
        (one.began_s, FOR_EVER if one.ended_s is None else one.ended_s) for one in faults if one.target in targets
    )
    joined: list[Span] = []
    for first_s, last_s in struck:
        if joined and first_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last_s))
        else:
            joined.append((first_s, last_s))
    return joined


def availability(looks: Iterable[Look], without: Sequence[Span] = ()) -> Availability:
    """Count the looks that do not touch any of the spans."""
    counted = [look for look in looks if all(look.ended_s < first or look.at_s > last for first, last in without)]
    return Availability(len(counted), sum(look.ok for look in counted))


def by_second(times_s: Iterable[float], lasts_s: float) -> list[int]:
    """Count events in each second of 0..`lasts_s`; what lies outside is left out."""
    counts = [0] * max(1, int(lasts_s) + 1)
    for at_s in times_s:
        if 0 <= at_s <= lasts_s:
            counts[int(at_s)] += 1
    return counts
