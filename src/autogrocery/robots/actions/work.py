from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.actions.pick import pick
from autogrocery.robots.actions.put_away import put_away

if TYPE_CHECKING:
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.fleet import Fleet

MAX_ASSIGNMENTS: Final = 4  # listed at once


async def work(fleet: Fleet, robot: Robot) -> bool:
    """List assignments and carry them out; True if one was reported, for then more may be waiting."""
    done = False
    try:
        assignments = await with_token(
            fleet,
            robot,
            lambda token: fleet.inventory.list_work(token, robot.robot_id, robot.robot_class, MAX_ASSIGNMENTS),
        )
        for assignment in assignments:
            carry_out = put_away if assignment.putaway else pick
            done = await carry_out(fleet, robot, assignment) is not None or done
    except (InDoubt, Unauthenticated):
        return False
    return done
