"""The simulated course of one pick, drawn from a seed, so that a run can be repeated. Durations are a real robot's."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

from msgspec import Struct

DRIVE_S: Final = 20.0  # to the aisle, and back to the hand-over
UNIT_S: Final = 8.0  # to grip one unit
HUNDRED: Final = 100.0


class Line(Struct, frozen=True):
    """A SKU and its quantity."""

    sku: str
    quantity: int


class Placed(Struct, frozen=True):
    """One delivered line: the units received, and how many of them are damaged and therefore not on a shelf."""

    sku: str
    received: int
    damaged: int


class Assignment(Struct, frozen=True):
    """One robot's share of an order or, if `putaway`, of a delivery."""

    assignment_id: str
    robot_class: str
    aisle: str
    lines: tuple[Line, ...]
    putaway: bool = False


class Lease(Struct, frozen=True):
    """The right to work on an assignment for `duration_s` seconds from its grant; the fence identifies this lease.

    `placed` is what robots before this one have reported of a putaway.
    """

    fence: int
    duration_s: float
    placed: tuple[Placed, ...] = ()


class FaultRates(Struct, frozen=True):
    """How often simulated faults occur: the seed, and percentages.

    They are the shares of picked lines that are short, of assignments during which the robot dies, and of delivered
    lines with damaged units, with fewer units than announced, and with more.
    """

    seed: int
    short_percent: float
    crash_percent: float
    damage_percent: float = 0.0
    missing_percent: float = 0.0
    surplus_percent: float = 0.0


class PickPlan(Struct, frozen=True):
    """What the robot has picked after `duration_s` seconds of its own time; `crash_after_s` is None if it survives."""

    picked: tuple[Line, ...]
    duration_s: float
    crash_after_s: float | None


class Outcome(StrEnum):
    """The status with which a pick is reported."""

    PICKED = "PICKED"
    SHORT = "SHORT"
    FAILED = "FAILED"


def plan_pick(assignment: Assignment, robot_id: str, fence: int, rates: FaultRates) -> PickPlan:
    """Draw the course of a pick. Short lines are the same for every robot; crashes differ by robot and fence."""
    shelf = random.Random(f"{rates.seed}:{assignment.assignment_id}")  # noqa: S311 - a seeded simulation
    picked = tuple(
        Line(line.sku, shelf.randrange(line.quantity))
        if line.quantity > 0 and shelf.uniform(0, HUNDRED) < rates.short_percent
        else line
        for line in assignment.lines
    )
    duration_s = DRIVE_S + UNIT_S * sum(line.quantity for line in picked)
    crash = random.Random(f"{rates.seed}:{assignment.assignment_id}:{robot_id}:{fence}")  # noqa: S311
    crashes = crash.uniform(0, HUNDRED) < rates.crash_percent
    return PickPlan(picked, duration_s, crash.uniform(0, duration_s) if crashes else None)


def outcome(assigned: tuple[Line, ...], picked: tuple[Line, ...]) -> Outcome:
    """Return the status of a pick from the assigned and the picked lines."""
    if picked == assigned:
        return Outcome.PICKED
    return Outcome.SHORT if any(line.quantity for line in picked) else Outcome.FAILED
