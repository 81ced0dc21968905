"""Tell a robot what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import putaways, robots

if TYPE_CHECKING:
    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.kit.pg.db import Db

DEFAULT_LIMIT = 10
MAX_LIMIT = 100


async def list_work(db: Db, robot_id: str, robot_class: str, limit: int, *, seen_s: float) -> tuple[Assignment, ...]:
    """Note that the robot lives, and return what it may start: its own first, then what others left lying.

    Orders come before deliveries: a customer waits, and what can't be picked for want of stock makes room for putting away. At most `limit` assignments (1..100; 10 for less). A robot not seen for `seen_s` seconds has left its work lying.
    """
    await robots.seen(db, robot_id, robot_class)
    bounded = min(limit, MAX_LIMIT) if limit > 0 else DEFAULT_LIMIT
    picks = await robots.work(db, robot_id, robot_class, bounded, seen_s=seen_s)
    if len(picks) == bounded:
        return picks
    return picks + await putaways.work(db, robot_id, robot_class, bounded - len(picks))
