"""Return the assignments that a robot may start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import putaways, robots

if TYPE_CHECKING:
    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.inventory.store.poll_cache import PollCache
    from autogrocery.kit.pg.db import Db

DEFAULT_LIMIT = 10
MAX_LIMIT = 100


async def list_work(
    db: Db, polls: PollCache, robot_id: str, robot_class: str, limit: int, *, seen_s: float
) -> tuple[Assignment, ...]:
    """Record that the robot is live, and return at most `limit` assignments it may start (1..100; 0 or less means 10).

    Its own come first, then those of robots not seen for `seen_s` seconds or whose lease has ended. Picks come before
    putaways, because customers wait for them.
    """
    await robots.record_seen(db, polls, robot_id, robot_class)
    bounded = min(limit, MAX_LIMIT) if limit > 0 else DEFAULT_LIMIT
    picks = await robots.list_work(db, robot_id, robot_class, bounded, seen_s=seen_s)
    if len(picks) == bounded:
        return picks
    return picks + await putaways.list_work(db, polls, robot_id, robot_class, bounded - len(picks))
