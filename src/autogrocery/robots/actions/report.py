"""Repeat a report until inventory acknowledges it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.kit.backoff import equal_jitter_s
from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.process.log import log
from autogrocery.robots.actions.log_in import with_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.fleet import Fleet
    from autogrocery.robots.peers.inventory import Acknowledgement

FIRST_BACKOFF_S: Final = 0.2
CAP_BACKOFF_S: Final = 5.0
MAX_REFUSALS: Final = 5  # in a row, of a permanent kind
PERMANENT: Final = frozenset({"invalid_argument", "permission_denied", "unimplemented", "not_found"})


async def report(
    fleet: Fleet, robot: Robot, assignment_id: str, send: Callable[[str], Awaitable[Acknowledgement]]
) -> Acknowledgement | None:
    """Call `send` with the robot's token until it returns; it must send the same report each time.

    None after MAX_REFUSALS permanent refusals in a row: the lease then expires and another robot takes the assignment.
    """
    attempt = refusals = 0
    while refusals < MAX_REFUSALS:
        attempt += 1
        try:
            result = await with_token(fleet, robot, send)
        except (InDoubt, Unauthenticated) as error:
            refusals = refusals + 1 if error.detail in PERMANENT else 0
            await asyncio.sleep(equal_jitter_s(attempt, FIRST_BACKOFF_S, CAP_BACKOFF_S))
            continue
        log.info("work_reported", robot_id=robot.robot_id, assignment_id=assignment_id, result=result, attempts=attempt)
        return result
    log.error("report_refused", robot_id=robot.robot_id, assignment_id=assignment_id)
    return None
