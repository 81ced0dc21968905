"""Tell the inventory something until it has acknowledged it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.process.log import log
from autogrocery.robots.actions.log_in import with_token
from autogrocery.robots.core.backoff import backoff_s

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.robots.actions.pick import World
    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.peers.inventory import Receipt

FIRST_BACKOFF_S: Final = 0.2
CAP_BACKOFF_S: Final = 5.0
MAX_REFUSALS: Final = 5
FOR_GOOD: Final = frozenset({"invalid_argument", "permission_denied", "unimplemented", "not_found"})


async def report(
    world: World, robot: Robot, assignment_id: str, send: Callable[[str], Awaitable[Receipt]]
) -> Receipt | None:
    """Call `send` with the robot's token until there is a receipt; what it sends must be the same each time.

    None if it is refused for good: then the lease lapses and another robot comes.
    """
    attempt = refusals = 0
    while refusals < MAX_REFUSALS:
        attempt += 1
        try:
            receipt = await with_token(world, robot, send)
        except (InDoubt, Unauthenticated) as trouble:
            refusals = refusals + 1 if trouble.detail in FOR_GOOD else 0
            await asyncio.sleep(backoff_s(attempt, FIRST_BACKOFF_S, CAP_BACKOFF_S))
            continue
        log.info(
            "work_reported", robot_id=robot.robot_id, assignment_id=assignment_id, receipt=receipt, attempts=attempt
        )
        return receipt
    log.error("report_refused", robot_id=robot.robot_id, assignment_id=assignment_id)
    return None
