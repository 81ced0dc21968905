"""What robots' polls found lately in this process: saves queries that would find the same, and decides nothing."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

SEEN_RECENTLY_S: Final = 0.5  # a sighting is not written again within it
NO_WORK_S: Final = 0.5  # for so long an empty list of putaways is reused
MAX_ENTRIES: Final = 4_096


def now_s() -> float:
    """Return the event loop's clock."""
    return asyncio.get_running_loop().time()


class PollCache:
    """The robots seen and the classes without putaways in the last half second; the oldest entries are dropped."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._seen_at: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._idle_since: dict[str, float] = {}  # by robot class, of which there are five
        self._max_entries = max_entries

    def was_seen(self, robot_id: str, robot_class: str) -> bool:
        """Return whether this process recorded the robot within SEEN_RECENTLY_S seconds."""
        seen_at = self._seen_at.get((robot_id, robot_class))
        return seen_at is not None and now_s() - seen_at < SEEN_RECENTLY_S

    def put_seen(self, robot_id: str, robot_class: str, at_s: float) -> None:
        """Note that a robot was recorded by a write sent at `at_s` of the loop's clock."""
        self._seen_at[robot_id, robot_class] = at_s
        self._seen_at.move_to_end((robot_id, robot_class))
        if len(self._seen_at) > self._max_entries:
            self._seen_at.popitem(last=False)

    def has_no_putaways(self, robot_class: str) -> bool:
        """Return whether a query within NO_WORK_S seconds found no putaway of the class."""
        since = self._idle_since.get(robot_class)
        return since is not None and now_s() - since < NO_WORK_S

    def put_no_putaways(self, robot_class: str, at_s: float) -> None:
        """Note that a query sent at `at_s` of the loop's clock found no putaway of the class."""
        self._idle_since[robot_class] = at_s

    def drop_no_putaways(self, robot_class: str) -> None:
        """Forget that the class has no putaways: one was added."""
        self._idle_since.pop(robot_class, None)
