"""Which points are struck, and how: all of them in every mode in the long run, in some in the short one."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from autogrocery.kit.process.faults import Fault, Mode
from tests.harness import figures
from tests.proofs.enumeration.breaking import Broken, break_it, points_of
from tests.proofs.enumeration.deeds import Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.proofs.enumeration.breaking import Point
    from tests.proofs.enumeration.deeds import S, Scenario, Stage

EVERYTHING = bool(os.environ.get("PROVE_EVERYTHING"))
SEED = int(os.environ.get("PROVE_SEED", "1"))
SLOW = (Mode.DELAY, Mode.LATE)
# In the short form:
ENDINGS = 0.5  # of a point's modes that end something
SLOWED = 0.5  # of the points
HANGS = 0.3  # of the deeds have one: it costs the call's own deadline
MESSAGES = ("inventory.", "pricing.", "mail.", "sms.", "metrics.publish", "robots.announce", "gateway.")


async def break_everywhere(stage: S, scenario: Scenario[S]) -> list[str]:
    """Break a deed at each of its points, a fresh subject each time; returns every flaw."""
    fresh = subjects(stage)
    points = await points_of(stage, scenario, await fresh())
    assert points
    await stage.sweep()
    chosen = plans(points, random.Random(f"{SEED}/{scenario.name}"))
    wrong: list[str] = []
    for point, mode, insists in chosen:
        broken = Broken(scenario.name, (Fault(point.name, mode, point.nth),), insists)
        flaws = await break_it(stage, scenario, await fresh(), broken)
        if EVERYTHING:
            flaws += await stage.violations()
        wrong += [f"{broken}: {flaw}" for flaw in flaws]
    if not EVERYTHING:
        wrong += [f"{flaw}; PROVE_EVERYTHING=1 tells by which fault" for flaw in await stage.violations()]
    figures.tell(deeds=1, points=len(points), faults=len(chosen), violations=len(wrong))
    return wrong


def plans(points: list[Point], chance: random.Random) -> list[tuple[Point, Mode, bool]]:
    """Every point in every mode, with a caller that insists and one that walks away.

    In the short form every point in a sample of the modes with either caller: half of those that end something, every other
    time one of those that only take time, and in a few deeds one that hangs.
    """
    if EVERYTHING:
        return [(point, mode, insists) for point in points for mode in modes_at(point) for insists in (True, False)]
    struck: list[tuple[Point, Mode]] = []
    for point in points:
        ending = [mode for mode in modes_at(point) if mode not in (*SLOW, Mode.HANG)]
        struck += [(point, mode) for mode in chance.sample(ending, round(len(ending) * ENDINGS))]
        struck += [(point, chance.choice(SLOW))] if chance.random() < SLOWED else []
    struck += [(chance.choice(points), Mode.HANG)] if chance.random() < HANGS else []
    return [(point, mode, chance.random() < 0.5) for point, mode in struck]


def modes_at(point: Point) -> list[Mode]:
    """Nothing sends a statement twice; a message may arrive twice."""
    message = point.name.startswith(MESSAGES)
    return [mode for mode in Mode if message or mode is not Mode.DUPLICATE]


def subjects(stage: Stage) -> Callable[[], Awaitable[Subject]]:
    made = 0

    async def fresh() -> Subject:
        nonlocal made
        made += 1
        return Subject(await stage.device(f"device-{made}"), f"key-{made}")

    return fresh
