"""One assignment from leave to receipt, the robot's death on the way included."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.clock import now
from autogrocery.kit.log import log
from autogrocery.kit.refusals import InDoubt, Unauthenticated
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.core import plan
from autogrocery.robots.core.backoff import backoff_s

if TYPE_CHECKING:
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.peers.gateway import Gateway
    from autogrocery.robots.peers.inventory import Inventory, Receipt

FIRST_BACKOFF_S: Final = 0.2
CAP_BACKOFF_S: Final = 5.0
AWAY_LONGER_S: Final = 2.0  # than the lease of a robot that died
MAX_LEASE_S: Final = 300.0
MAX_REFUSALS: Final = 5
FOR_GOOD: Final = frozenset({"invalid_argument", "permission_denied", "unimplemented", "not_found"})


class World(Struct, frozen=True):
    """What a robot works in: its peers, the logins allowed at once, its luck, and how many times faster than life it is."""

    gateway: Gateway
    inventory: Inventory
    doors: asyncio.Semaphore
    luck: plan.Luck
    speed: float


async def pick(world: World, robot: Robot, assignment: plan.Assignment) -> Receipt | None:
    """Start, carry out and report an assignment; None if there was no leave, or it was lost on the way.

    Raises InDoubt or Unauthenticated if leave could not be asked for.
    """
    grant = await with_token(
        world.gateway,
        robot,
        world.doors,
        lambda token: world.inventory.start_pick(token, robot.robot_id, assignment.assignment_id),
    )
    if grant is None:
        return None
    lease_s = min(max((grant.lease_until - now()).total_seconds(), 0.0), MAX_LEASE_S)
    drawn = plan.plan(assignment, robot.robot_id, grant.fence, world.luck)
    with robot.holding(grant.fence) as lost:
        if drawn.crash_after_s is not None:
            await asyncio.sleep(drawn.crash_after_s / world.speed)
            await _lie_dead(robot, assignment, lease_s)
        elif await _is_set_within(lost, drawn.duration_s / world.speed):
            log.info("pick_abandoned", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)
            return None
        return await report_pick(world, robot, assignment, grant.fence, drawn.picked)


async def report_pick(
    world: World, robot: Robot, assignment: plan.Assignment, fence: int, picked: tuple[plan.Line, ...]
) -> Receipt | None:
    """Report until the inventory has acknowledged it, under one sequence, so that a lost answer does no harm.

    None if it is refused for good: then the lease lapses and another robot comes.
    """
    outcome = plan.outcome(assignment.lines, picked)
    sequence = robot.next_sequence()
    attempt = refusals = 0
    while refusals < MAX_REFUSALS:
        attempt += 1
        try:
            receipt = await with_token(
                world.gateway,
                robot,
                world.doors,
                lambda token: world.inventory.report_pick(
                    token, robot.robot_id, assignment.assignment_id, fence, sequence, picked, outcome
                ),
            )
        except (InDoubt, Unauthenticated) as trouble:
            refusals = refusals + 1 if trouble.detail in FOR_GOOD else 0
            await asyncio.sleep(backoff_s(attempt, FIRST_BACKOFF_S, CAP_BACKOFF_S))
            continue
        log.info(
            "pick_reported",
            robot_id=robot.robot_id,
            assignment_id=assignment.assignment_id,
            outcome=outcome,
            receipt=receipt,
            attempts=attempt,
        )
        return receipt
    log.error("pick_report_refused", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)
    return None


async def _lie_dead(robot: Robot, assignment: plan.Assignment, lease_s: float) -> None:
    """Neither beat nor work until any lease this robot had is over, then rise with the old fence in hand."""
    log.warning("robot_died", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)
    robot.away = True
    try:
        await asyncio.sleep(lease_s + AWAY_LONGER_S)
    finally:
        robot.away = False
    log.info("robot_returned", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)


async def _is_set_within(event: asyncio.Event, wait_s: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), wait_s)
    return event.is_set()
