"""What the clock and the bus start: heartbeats and work of each robot; an announcement wakes the robots of a class."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Final

from autogrocery.kit.process.loops import Loop
from autogrocery.robots.actions.heartbeat import heartbeat
from autogrocery.robots.actions.work import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.robots.core.robot import Robot
    from autogrocery.robots.fleet import Fleet
    from autogrocery.robots.peers.bus import Announcements

HEARTBEAT_EVERY_S: Final = 3.0
LIST_EVERY_S: Final = 1.5
WAKE_EVERY_S: Final = 0.1  # so that a burst of announcements wakes a class once
LISTEN_AGAIN_S: Final = 0.5  # only after an error


def table(fleet: Fleet, robots: Sequence[Robot], announcements: Announcements) -> list[Loop]:
    """Return the loops of the whole fleet."""
    workers: dict[str, list[Loop]] = defaultdict(list)
    announced: set[str] = set()
    loops = []
    for robot in robots:
        worker = Loop(f"work:{robot.robot_id}", LIST_EVERY_S, partial(work, fleet, robot))
        workers[robot.robot_class].append(worker)
        loops += [Loop(f"heartbeat:{robot.robot_id}", HEARTBEAT_EVERY_S, partial(heartbeat, fleet, robot)), worker]

    async def listen() -> bool:
        name = await announcements.next_class()
        if name in workers:
            announced.add(name)
        return True

    async def wake() -> bool:
        while announced:
            for worker in workers[announced.pop()]:
                worker.wake()
        return False

    return [*loops, Loop("listen", LISTEN_AGAIN_S, listen), Loop("wake", WAKE_EVERY_S, wake)]
