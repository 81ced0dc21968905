"""Stay offline for longer than a lease, then come back holding the old fence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.robots.core.robot import Robot

BEYOND_LEASE_S: Final = 2.0


async def simulate_death(robot: Robot, assignment_id: str, lease_s: float) -> None:
    """Keep the robot offline, without heartbeats or work, until every lease of `lease_s` that it had has expired."""
    log.warning("robot_died", robot_id=robot.robot_id, assignment_id=assignment_id)
    robot.offline = True
    try:
        await asyncio.sleep(lease_s + BEYOND_LEASE_S)
    finally:
        robot.offline = False
    log.info("robot_returned", robot_id=robot.robot_id, assignment_id=assignment_id)
