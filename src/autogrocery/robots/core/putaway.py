"""The simulated course of one putaway, drawn from a seed: what the truck really brought, and how far the robot gets."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.robots.core.plan import DRIVE_S, HUNDRED, Placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.robots.core.plan import Assignment, FaultRates, Line

LINE_S: Final = 10.0  # to find the shelf
UNIT_S: Final = 1.0  # goods come in cases
MOST_SURPLUS: Final = 0.1  # of a line, and at least one unit


class Step(Struct, frozen=True):
    """One line put away, which takes `duration_s` seconds of the robot's own time."""

    placed: Placed
    duration_s: float


class PutawayPlan(Struct, frozen=True):
    """The lines still to be put away, in order; the robot dies at the line of index `crash_at` (None: it survives)."""

    steps: tuple[Step, ...]
    crash_at: int | None


def plan_putaway(
    assignment: Assignment, robot_id: str, fence: int, rates: FaultRates, placed: Sequence[Placed] = ()
) -> PutawayPlan:
    """Draw the course of a putaway of which earlier robots have reported `placed`.

    What the truck brought is the same for every robot. A line that was reported in part is finished; one that was
    reported whole is left out.
    """
    before = {one.sku: one for one in placed}
    truck = random.Random(f"{rates.seed}:{assignment.assignment_id}")  # noqa: S311 - a seeded simulation
    received = [_received(line, truck, rates) for line in assignment.lines]
    left = [one for one in received if before.get(one.sku) != one]
    steps = tuple(
        Step(one, (LINE_S if at else DRIVE_S + LINE_S) + UNIT_S * _units(one, before)) for at, one in enumerate(left)
    )
    crash = random.Random(f"{rates.seed}:{assignment.assignment_id}:{robot_id}:{fence}")  # noqa: S311
    crashes = bool(steps) and crash.uniform(0, HUNDRED) < rates.crash_percent
    return PutawayPlan(steps, crash.randrange(len(steps)) if crashes else None)


def _received(line: Line, truck: random.Random, rates: FaultRates) -> Placed:
    units = line.quantity
    kind = truck.uniform(0, HUNDRED)
    if kind < rates.missing_percent:
        units = truck.randrange(line.quantity)
    elif kind < rates.missing_percent + rates.surplus_percent:
        units += truck.randint(1, max(1, int(line.quantity * MOST_SURPLUS)))
    damaged = truck.randint(1, units) if units and truck.uniform(0, HUNDRED) < rates.damage_percent else 0
    return Placed(line.sku, units, damaged)


def _units(one: Placed, before: dict[str, Placed]) -> int:
    return max(0, one.received - before.get(one.sku, Placed(one.sku, 0, 0)).received)
