"""Measurements over a record: recovery times, availability, counts by second."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.prove.record import RECOVERY_STEPS
from autogrocery.lab.replay.figures import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from autogrocery.lab.prove.record import Fault, Probe

    Span = tuple[float, float]

NEVER_S: Final = float("inf")


class Recovery(Struct, frozen=True):
    """The time from the end of a fault to the first success of `step`.

    `took_s` is None if `step` did not succeed before the same target was broken again (`overtaken`), or never did.
    `disturbed`: another fault was in force between the two.
    """

    target: str
    kind: str
    step: str
    ended_s: float
    took_s: float | None
    overtaken: bool = False
    disturbed: bool = False


class Quantiles(Struct, frozen=True):
    """Recovery times in seconds: their count, median, 99th percentile (nearest rank) and maximum."""

    count: int
    p50_s: float
    p99_s: float
    max_s: float


class Availability(Struct, frozen=True):
    """GETs sent wholly outside some excluded spans, and how many of them were answered."""

    sent: int
    answered: int

    @property
    def share(self) -> float | None:
        """The share that was answered; None if none was sent."""
        return self.answered / self.sent if self.sent else None


def recoveries(faults: Sequence[Fault], successes: Mapping[str, Iterable[float]]) -> list[Recovery]:
    """Return the recovery of each fault that ended, by each step of RECOVERY_STEPS."""
    by_step = {step: sorted(times) for step, times in successes.items()}
    return [
        _recovery(fault, step, by_step.get(step, []), faults)
        for fault in faults
        if fault.ended_s is not None
        for step in RECOVERY_STEPS[fault.target]
    ]


def _recovery(fault: Fault, step: str, times: list[float], faults: Sequence[Fault]) -> Recovery:
    assert fault.ended_s is not None
    ended_s = fault.ended_s
    position = bisect_right(times, ended_s)
    first_s = times[position] if position < len(times) else None
    others = [other for other in faults if other is not fault]
    again_s = min((o.began_s for o in others if o.target == fault.target and _ends_after(o, ended_s)), default=NEVER_S)
    if first_s is None or first_s > again_s:
        return Recovery(fault.target, fault.kind, step, ended_s, None, overtaken=again_s < NEVER_S)
    disturbed = any(o.began_s < first_s and _ends_after(o, ended_s) for o in others)
    return Recovery(fault.target, fault.kind, step, ended_s, first_s - ended_s, disturbed=disturbed)


def _ends_after(fault: Fault, at_s: float) -> bool:
    return fault.ended_s is None or fault.ended_s > at_s


def quantiles(recovered: Iterable[Recovery]) -> Quantiles | None:
    """Return the quantiles of the measured recovery times; None if there are none."""
    times = [one.took_s for one in recovered if one.took_s is not None]
    if not times:
        return None
    return Quantiles(len(times), percentile(times, 0.5), percentile(times, 0.99), max(times))


def fault_spans(faults: Iterable[Fault], *targets: str) -> list[Span]:
    """Return when any of `targets` was broken, as disjoint spans in order, in seconds."""
    sorted_spans = sorted(
        (one.began_s, NEVER_S if one.ended_s is None else one.ended_s) for one in faults if one.target in targets
    )
    joined: list[Span] = []
    for first_s, last_s in sorted_spans:
        if joined and first_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last_s))
        else:
            joined.append((first_s, last_s))
    return joined


def availability(probes: Iterable[Probe], excluded: Sequence[Span] = ()) -> Availability:
    """Count the probes that do not overlap any of the `excluded` spans."""
    counted = [probe for probe in probes if all(probe.ended_s < first or probe.at_s > last for first, last in excluded)]
    return Availability(len(counted), sum(probe.ok for probe in counted))


def by_second(times_s: Iterable[float], duration_s: float) -> list[int]:
    """Count the times in each second of 0..`duration_s`; times outside are left out."""
    counts = [0] * max(1, int(duration_s) + 1)
    for at_s in times_s:
        if 0 <= at_s <= duration_s:
            counts[int(at_s)] += 1
    return counts
