"""One assignment from leave to receipt, the robot's death on the way included."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.kit.process.log import log
from autogrocery.robots.actions.lie_dead import lie_dead
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.actions.report import report
from autogrocery.robots.core import plan
from autogrocery.robots.core.robot import is_set_within

if TYPE_CHECKING:
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.peers.gateway import Gateway
    from autogrocery.robots.peers.inventory import Inventory, Receipt


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
        world,
        robot,
        lambda token: world.inventory.start_pick(token, robot.robot_id, assignment.assignment_id),
    )
    if grant is None:
        return None
    drawn = plan.plan(assignment, robot.robot_id, grant.fence, world.luck)
    with robot.holding(grant.fence) as lost:
        if drawn.crash_after_s is not None:
            await asyncio.sleep(drawn.crash_after_s / world.speed)
            await lie_dead(robot, assignment.assignment_id, grant.lease_s)
        elif await is_set_within(lost, drawn.duration_s / world.speed):
            log.info("pick_abandoned", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)
            return None
        return await _report(world, robot, assignment, grant.fence, drawn.picked)


async def _report(
    world: World, robot: Robot, assignment: plan.Assignment, fence: int, picked: tuple[plan.Line, ...]
) -> Receipt | None:
    outcome = plan.outcome(assignment.lines, picked)
    sequence = robot.next_sequence()
    return await report(
        world,
        robot,
        assignment.assignment_id,
        lambda token: world.inventory.report_pick(
            token, robot.robot_id, assignment.assignment_id, fence, sequence, picked, outcome
        ),
    )
