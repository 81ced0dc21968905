"""One pick: start it, carry it out, report it; the simulated robot may die in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from autogrocery.kit.process.log import log
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.actions.report import report
from autogrocery.robots.actions.simulate_death import simulate_death
from autogrocery.robots.core.plan import outcome, plan_pick
from autogrocery.robots.core.robot import is_set_within

if TYPE_CHECKING:
    from autogrocery.robots.core.plan import Assignment, Line
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.fleet import Fleet
    from autogrocery.robots.peers.inventory import Acknowledgement


async def pick(fleet: Fleet, robot: Robot, assignment: Assignment) -> Acknowledgement | None:
    """Start, carry out and report an assignment; None if inventory gave no lease or the robot lost it.

    Raises InDoubt or Unauthenticated if the lease could not be requested.
    """
    lease = await with_token(
        fleet,
        robot,
        lambda token: fleet.inventory.start_pick(token, robot.robot_id, assignment.assignment_id),
    )
    if lease is None:
        return None
    plan = plan_pick(assignment, robot.robot_id, lease.fence, fleet.fault_rates)
    with robot.holding(lease.fence) as lost:
        if plan.crash_after_s is not None:
            await asyncio.sleep(plan.crash_after_s / fleet.speed)
            await simulate_death(robot, assignment.assignment_id, lease.duration_s)
        elif await is_set_within(lost, plan.duration_s / fleet.speed):
            log.info("pick_abandoned", robot_id=robot.robot_id, assignment_id=assignment.assignment_id)
            return None
        return await _report(fleet, robot, assignment, lease.fence, plan.picked)


async def _report(
    fleet: Fleet, robot: Robot, assignment: Assignment, fence: int, picked: tuple[Line, ...]
) -> Acknowledgement | None:
    status = outcome(assignment.lines, picked)
    sequence = robot.next_sequence()
    return await report(
        fleet,
        robot,
        assignment.assignment_id,
        lambda token: fleet.inventory.report_pick(
            token, robot.robot_id, assignment.assignment_id, fence, sequence, picked, status
        ),
    )
