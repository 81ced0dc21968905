from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.actions.pick import World, pick
from autogrocery.robots.actions.put_away import put_away

if TYPE_CHECKING:
    from autogrocery.robots.core.robot import Robot

AT_A_TIME: Final = 4


async def work(world: World, robot: Robot) -> bool:
    """Ask for work and do it; True if something was done, so that there may be more. Without an answer there is none now."""
    done = False
    try:
        found = await with_token(
            world,
            robot,
            lambda token: world.inventory.list_work(token, robot.robot_id, robot.robot_class, AT_A_TIME),
        )
        for assignment in found:
            carry_out = put_away if assignment.putaway else pick
            done = await carry_out(world, robot, assignment) is not None or done
    except (InDoubt, Unauthenticated):
        return False
    return done
