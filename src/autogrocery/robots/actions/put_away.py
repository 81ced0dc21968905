"""One delivery's lines of an aisle, from leave to the last report, the robot's death on the way included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.process.log import log
from autogrocery.robots.actions.lie_dead import lie_dead
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.actions.report import report
from autogrocery.robots.core.putaway import plan_putaway
from autogrocery.robots.core.robot import is_set_within
from autogrocery.robots.peers.inventory import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.robots.actions.pick import World
    from autogrocery.robots.core.plan import Assignment, Placed
    from autogrocery.robots.core.robot import Robot


async def put_away(world: World, robot: Robot, assignment: Assignment) -> Receipt | None:
    """Start a putaway and report each line as it stands on its shelf; None if there was no leave, or it was lost on the way.

    A robot that dies comes back and reports the line it had in hand: STALE_FENCE if another has gone on meanwhile. Raises
    InDoubt or Unauthenticated if leave could not be asked for.
    """
    grant = await with_token(
        world,
        robot,
        lambda token: world.inventory.start_pick(token, robot.robot_id, assignment.assignment_id),
    )
    if grant is None:
        return None
    drawn = plan_putaway(assignment, robot.robot_id, grant.fence, world.luck, grant.placed)
    receipt: Receipt | None = None
    with robot.holding(grant.fence) as lost:
        for at, step in enumerate(drawn.steps):
            if at == drawn.dies_at:
                await lie_dead(robot, assignment.assignment_id, grant.lease_s)
            elif await is_set_within(lost, step.duration_s / world.speed):
                log.info("putaway_abandoned", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)
                return None
            last = at == len(drawn.steps) - 1
            receipt = await _report(world, robot, assignment, grant.fence, [step.placed], done=last)
            if receipt is None or receipt is Receipt.STALE_FENCE or last:
                return receipt
        return await _report(world, robot, assignment, grant.fence, (), done=True)  # others have reported every line


async def _report(
    world: World, robot: Robot, assignment: Assignment, fence: int, placed: Sequence[Placed], *, done: bool
) -> Receipt | None:
    sequence = robot.next_sequence()
    return await report(
        world,
        robot,
        assignment.assignment_id,
        lambda token: world.inventory.report_putaway(
            token, robot.robot_id, assignment.assignment_id, fence, sequence, placed, done=done
        ),
    )
