"""What will happen to one pick: drawn from a seed, so that a run can be repeated. Durations are those of a real robot."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

from msgspec import Struct

DRIVE_S: Final = 20.0  # to the aisle and to the hand-over
UNIT_S: Final = 8.0  # to grip one unit
HUNDRED: Final = 100.0


class Line(Struct, frozen=True):
    """How many units of a SKU."""

    sku: str
    quantity: int


class Placed(Struct, frozen=True):
    """Of one delivered line, the units that came, and how many of those are damaged and stand on no shelf."""

    sku: str
    received: int
    damaged: int


class Assignment(Struct, frozen=True):
    """One robot's share of an order; or, if `putaway`, of a delivery."""

    assignment_id: str
    robot_class: str
    aisle: str
    lines: tuple[Line, ...]
    putaway: bool = False


class Grant(Struct, frozen=True):
    """Leave to work on an assignment, for `lease_s` from the time it was given; the fence tells this leave from every other.

    `placed` is what robots before this one have reported of a putaway.
    """

    fence: int
    lease_s: float
    placed: tuple[Placed, ...] = ()


class Luck(Struct, frozen=True):
    """How the simulated world treats robots: the seed, and percentages.

    Of picked lines found short; of assignments at which the robot dies; of delivered lines with damaged units, with fewer
    units than were announced, and with more.
    """

    seed: int
    short_percent: float
    crash_percent: float
    damage_percent: float = 0.0
    missing_percent: float = 0.0
    surplus_percent: float = 0.0


class Plan(Struct, frozen=True):
    """What the robot will have picked after `duration_s` of its own time; `crash_after_s` None: it lives through it."""

    picked: tuple[Line, ...]
    duration_s: float
    crash_after_s: float | None


class Outcome(StrEnum):
    """How a pick is reported."""

    PICKED = "PICKED"
    SHORT = "SHORT"
    FAILED = "FAILED"


def plan(assignment: Assignment, robot_id: str, fence: int, luck: Luck) -> Plan:
    """Draw what happens. What the shelf lacks it lacks for every robot; a crash strikes one robot under one fence."""
    shelf = random.Random(f"{luck.seed}:{assignment.assignment_id}")  # noqa: S311 - a seeded simulation
    picked = tuple(
        Line(line.sku, shelf.randrange(line.quantity))
        if line.quantity > 0 and shelf.uniform(0, HUNDRED) < luck.short_percent
        else line
        for line in assignment.lines
    )
    duration_s = DRIVE_S + UNIT_S * sum(line.quantity for line in picked)
    fate = random.Random(f"{luck.seed}:{assignment.assignment_id}:{robot_id}:{fence}")  # noqa: S311
    crashes = fate.uniform(0, HUNDRED) < luck.crash_percent
    return Plan(picked, duration_s, fate.uniform(0, duration_s) if crashes else None)


def outcome(asked: tuple[Line, ...], picked: tuple[Line, ...]) -> Outcome:
    """Say how a pick went, by what was asked and what was picked."""
    if picked == asked:
        return Outcome.PICKED
    return Outcome.SHORT if any(line.quantity for line in picked) else Outcome.FAILED
