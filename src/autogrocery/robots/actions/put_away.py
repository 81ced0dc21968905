"""One putaway, a delivery's lines of one aisle: start it, report each line; the simulated robot may die in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.process.log import log
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.actions.report import report
from autogrocery.robots.actions.simulate_death import simulate_death
from autogrocery.robots.core.putaway import plan_putaway
from autogrocery.robots.core.robot import is_set_within
from autogrocery.robots.peers.inventory import Acknowledgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.robots.core.plan import Assignment, Placed
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.fleet import Fleet


async def put_away(fleet: Fleet, robot: Robot, assignment: Assignment) -> Acknowledgement | None:
    """Start a putaway, report each line once it is on its shelf; None if inventory gave no lease or the robot lost it.

    A robot that dies comes back and reports the line it was working on: the result is STALE_FENCE if another robot has
    continued meanwhile. Raises InDoubt or Unauthenticated if the lease could not be requested.
    """
    lease = await with_token(
        fleet,
        robot,
        lambda token: fleet.inventory.start_pick(token, robot.robot_id, assignment.assignment_id),
    )
    if lease is None:
        return None
    plan = plan_putaway(assignment, robot.robot_id, lease.fence, fleet.fault_rates, lease.placed)
    result: Acknowledgement | None = None
    with robot.holding(lease.fence) as lost:
        for number, step in enumerate(plan.steps):
            if number == plan.crash_at:
                await simulate_death(robot, assignment.assignment_id, lease.duration_s)
            elif await is_set_within(lost, step.duration_s / fleet.speed):
                log.info("putaway_abandoned", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)
                return None
            last = number == len(plan.steps) - 1
            result = await _report(fleet, robot, assignment, lease.fence, [step.placed], done=last)
            if result is None or result is Acknowledgement.STALE_FENCE or last:
                return result
        # Robots before this one have reported every line; only the end of the putaway is still to be reported.
        return await _report(fleet, robot, assignment, lease.fence, (), done=True)


async def _report(
    fleet: Fleet, robot: Robot, assignment: Assignment, fence: int, placed: Sequence[Placed], *, done: bool
) -> Acknowledgement | None:
    sequence = robot.next_sequence()
    return await report(
        fleet,
        robot,
        assignment.assignment_id,
        lambda token: fleet.inventory.report_putaway(
            token, robot.robot_id, assignment.assignment_id, fence, sequence, placed, done=done
        ),
    )
