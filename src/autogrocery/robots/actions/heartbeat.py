from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.robots.actions.log_in import with_token

if TYPE_CHECKING:
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.fleet import Fleet


async def heartbeat(fleet: Fleet, robot: Robot) -> bool:
    """Send the fences that the robot holds to inventory and drop the lost ones; do nothing while it is offline."""
    if robot.offline:
        return False
    try:
        lost = await with_token(
            fleet,
            robot,
            lambda token: fleet.inventory.heartbeat(token, robot.robot_id, robot.fences),
        )
    except (InDoubt, Unauthenticated):
        return False
    robot.acknowledged.set()
    for fence in lost:
        robot.lose(fence)
    return False
