"""Be gone for longer than a lease, and come back with the old fence in hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.robots.core.robot import Robot

LONGER_S: Final = 2.0  # than the lease of a robot that died


async def lie_dead(robot: Robot, assignment_id: str, lease_s: float) -> None:
    """Neither beat nor work until any lease of `lease_s` that this robot had is over."""
    log.warning("robot_died", robot_id=robot.robot_id, assignment_id=assignment_id)
    robot.away = True
    try:
        await asyncio.sleep(lease_s + LONGER_S)
    finally:
        robot.away = False
    log.info("robot_returned", robot_id=robot.robot_id, assignment_id=assignment_id)
