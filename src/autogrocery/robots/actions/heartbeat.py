from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.robots.actions.log_in import with_token

if TYPE_CHECKING:
    from autogrocery.robots.actions.pick import World
    from autogrocery.robots.core.robot import Robot


async def heartbeat(world: World, robot: Robot) -> bool:
    """Tell the inventory that the robot lives and what it holds, and let go of what it has lost; the dead don't beat."""
    if robot.away:
        return False
    try:
        lost = await with_token(
            world,
            robot,
            lambda token: world.inventory.heartbeat(token, robot.robot_id, robot.fences),
        )
    except (InDoubt, Unauthenticated):
        return False
    robot.known.set()
    for fence in lost:
        robot.lose(fence)
    return False
