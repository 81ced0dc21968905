"""List robots with what each does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store.operations import fleet

if TYPE_CHECKING:
    from autogrocery.inventory.store.operations.fleet import RobotView
    from autogrocery.kit.pg.db import Db


async def list_robots(db: Db, robot_class: str, cursor: str, limit: int, *, seen_s: float) -> list[RobotView]:
    """Return at most `limit` robots by id, after `cursor`; live ones were seen in the last `seen_s` seconds."""
    return await fleet.list_robots(db, robot_class, cursor, limit, seen_s=seen_s)
