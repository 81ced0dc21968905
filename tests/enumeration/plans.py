"""Which points are struck, and how: all of them in the long run, almost all in the short one."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from autogrocery.kit.faults import Fault, Mode
from tests import figures
from tests.enumeration.breaking import Broken, break_it, points_of
from tests.enumeration.deeds import Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.enumeration.breaking import Point
    from tests.enumeration.deeds import S, Scenario, Stage

EVERYTHING = bool(os.environ.get("PROVE_EVERYTHING"))
SEED = int(os.environ.get("PROVE_SEED", "1"))
HANGS = 0.3  # of the deeds have one, in the short form: it costs the call's own deadline
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
        wrong += [f"{broken}: {flaw}" for flaw in await break_it(stage, scenario, await fresh(), broken)]
    figures.tell(deeds=1, points=len(points), faults=len(chosen), violations=len(wrong))
    return wrong


def plans(points: list[Point], chance: random.Random) -> list[tuple[Point, Mode, bool]]:
    """Every point in every mode, with a caller that insists and one that walks away.

    In the short form with either, and of the modes that only take time each point has one or none, hanging a few deeds one.
    """
    modes = [(point, mode) for point in points for mode in modes_at(point)]
    if EVERYTHING:
        return [(point, mode, insists) for point, mode in modes for insists in (True, False)]
    hanging = [one for one in modes if one[1] is Mode.HANG]
    left_out = chance.sample(hanging, len(hanging) - (chance.random() < HANGS))
    for point in points:
        kept = chance.choice((Mode.DELAY, Mode.LATE, None, None))
        left_out += [(point, mode) for mode in (Mode.DELAY, Mode.LATE) if mode is not kept]
    return [(point, mode, chance.random() < 0.5) for point, mode in modes if (point, mode) not in left_out]


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
