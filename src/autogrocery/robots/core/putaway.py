"""What will happen to one putaway: what the truck really brought, drawn from a seed, and how far the robot gets with it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.robots.core.plan import DRIVE_S, HUNDRED, Placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.robots.core.plan import Assignment, Line, Luck

LINE_S: Final = 10.0  # to find the place
UNIT_S: Final = 1.0  # goods come in cases
MOST_SURPLUS: Final = 0.1  # of a line, and at least one unit


class Step(Struct, frozen=True):
    """One line put away, after `duration_s` of the robot's own time."""

    placed: Placed
    duration_s: float


class Putaway(Struct, frozen=True):
    """The lines still to be put away, one after the other; the robot dies at that of number `dies_at`, None: at none."""

    steps: tuple[Step, ...]
    dies_at: int | None


def plan_putaway(
    assignment: Assignment, robot_id: str, fence: int, luck: Luck, placed: Sequence[Placed] = ()
) -> Putaway:
    """Draw what happens after others have `placed` what they reported. What the truck brought is the same for every robot.

    A line that was reported in part is finished; one that was reported whole is not touched again.
    """
    before = {one.sku: one for one in placed}
    truck = random.Random(f"{luck.seed}:{assignment.assignment_id}")  # noqa: S311 - a seeded simulation
    brought = [_brought(line, truck, luck) for line in assignment.lines]
    left = [one for one in brought if before.get(one.sku) != one]
    steps = tuple(
        Step(one, (LINE_S if at else DRIVE_S + LINE_S) + UNIT_S * _units(one, before)) for at, one in enumerate(left)
    )
    fate = random.Random(f"{luck.seed}:{assignment.assignment_id}:{robot_id}:{fence}")  # noqa: S311
    dies = bool(steps) and fate.uniform(0, HUNDRED) < luck.crash_percent
    return Putaway(steps, fate.randrange(len(steps)) if dies else None)


def _brought(line: Line, truck: random.Random, luck: Luck) -> Placed:
    units = line.quantity
    kind = truck.uniform(0, HUNDRED)
    if kind < luck.missing_percent:
        units = truck.randrange(line.quantity)
    elif kind < luck.missing_percent + luck.surplus_percent:
        units += truck.randint(1, max(1, int(line.quantity * MOST_SURPLUS)))
    damaged = truck.randint(1, units) if units and truck.uniform(0, HUNDRED) < luck.damage_percent else 0
    return Placed(line.sku, units, damaged)


def _units(one: Placed, before: dict[str, Placed]) -> int:
    return max(0, one.received - before.get(one.sku, Placed(one.sku, 0, 0)).received)
