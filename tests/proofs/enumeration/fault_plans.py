"""Choose the faults: every point in every mode in the long form, a seeded sample in the short one."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from autogrocery.kit.process.faults import Fault, Mode
from tests.harness import figures
from tests.proofs.enumeration.injection import Injection, inject, record_points
from tests.proofs.enumeration.scenario import Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.proofs.enumeration.injection import Point
    from tests.proofs.enumeration.scenario import Environment, S, Scenario

EVERYTHING = bool(os.environ.get("PROVE_EVERYTHING"))
SEED = int(os.environ.get("PROVE_SEED", "1"))
SLOW = (Mode.DELAY, Mode.LATE)
# In the short form:
ENDING_SHARE = 0.5  # of a point's modes that end the call or the process
SLOW_SHARE = 0.5  # of the points get a delay
HANG_SHARE = 0.3  # of the scenarios get a hang, which lasts until the call's own deadline
MESSAGES = ("inventory.", "pricing.", "mail.", "sms.", "metrics.publish", "robots.announce", "gateway.")


async def inject_everywhere(env: S, scenario: Scenario[S]) -> list[str]:
    """Inject faults at each point of a scenario, with a new subject each time; returns every failure."""
    new_subject = subjects(env)
    points = await record_points(env, scenario, await new_subject())
    assert points
    await env.run_loops()
    chosen = choose_faults(points, random.Random(f"{SEED}/{scenario.name}"))
    failures: list[str] = []
    for point, mode, retries in chosen:
        injection = Injection(scenario.name, (Fault(point.name, mode, point.nth),), retries)
        violations = await inject(env, scenario, await new_subject(), injection)
        if EVERYTHING:
            violations += await env.violations()
        failures += [f"{injection}: {violation}" for violation in violations]
    if not EVERYTHING:
        failures += [f"{violation}; PROVE_EVERYTHING=1 shows which fault" for violation in await env.violations()]
    figures.record(operations=1, points=len(points), faults=len(chosen), violations=len(failures))
    return failures


def choose_faults(points: list[Point], rng: random.Random) -> list[tuple[Point, Mode, bool]]:
    """Return every point in every mode, with a caller that retries and with one that gives up.

    The short form has a sample of the modes of every point with either caller: ENDING_SHARE of those that end the call
    or the process, for SLOW_SHARE of the points one that only delays, and in HANG_SHARE of the scenarios one hang.
    """
    if EVERYTHING:
        return [(point, mode, retries) for point in points for mode in modes_at(point) for retries in (True, False)]
    chosen: list[tuple[Point, Mode]] = []
    for point in points:
        ending = [mode for mode in modes_at(point) if mode not in (*SLOW, Mode.HANG)]
        chosen += [(point, mode) for mode in rng.sample(ending, round(len(ending) * ENDING_SHARE))]
        chosen += [(point, rng.choice(SLOW))] if rng.random() < SLOW_SHARE else []
    chosen += [(rng.choice(points), Mode.HANG)] if rng.random() < HANG_SHARE else []
    return [(point, mode, rng.random() < 0.5) for point, mode in chosen]


def modes_at(point: Point) -> list[Mode]:
    """Return the modes of a point: a message may be duplicated, a statement is not."""
    message = point.name.startswith(MESSAGES)
    return [mode for mode in Mode if message or mode is not Mode.DUPLICATE]


def subjects(env: Environment) -> Callable[[], Awaitable[Subject]]:
    made = 0

    async def new_subject() -> Subject:
        nonlocal made
        made += 1
        return Subject(await env.device(f"device-{made}"), f"key-{made}")

    return new_subject
