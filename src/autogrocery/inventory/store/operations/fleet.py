"""Robots with what each does and what waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from uuid import UUID  # noqa: TC003 - read as a type of a field

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.kit.pg.db import Db

MAX_TASKS = 20  # of one robot in a list


class RobotTask(Struct, frozen=True):
    """An assignment of which a robot has the lease until `lease_until`."""

    kind: Literal["pick", "putaway"]
    order_id: UUID
    assignment_id: UUID
    aisle: str
    lease_until: datetime


class RobotView(Struct, frozen=True):
    """A robot: `live` if it was seen a moment ago, `queue` counts its picks that have not started."""

    robot_id: str
    robot_class: str
    last_seen_at: datetime
    live: bool
    queue: int
    tasks: tuple[RobotTask, ...]


ROBOTS = """-- operations.robots
SELECT r.robot_id, r.robot_class, r.last_seen_at, r.last_seen_at > now() - $4::float8 * interval '1 second' AS live,
       (SELECT count(*)::int FROM inventory.assignments a WHERE a.robot_id = r.robot_id AND a.state = 'OPEN') AS queue
  FROM inventory.robots r WHERE r.robot_id > $1 AND ($2 = '' OR r.robot_class = $2) ORDER BY r.robot_id LIMIT $3
"""
# The leases of the robots $1, at most $2 of each robot.
TASKS = """-- operations.tasks
SELECT q.robot_id, t.*
  FROM unnest($1::text[]) AS q (robot_id)
 CROSS JOIN LATERAL (
   SELECT 'pick' AS kind, order_id, assignment_id, aisle, lease_until FROM inventory.assignments
    WHERE holder = q.robot_id AND state = 'STARTED'
   UNION ALL
   SELECT 'putaway', order_id, assignment_id, aisle, lease_until FROM inventory.putaways
    WHERE holder = q.robot_id AND state = 'STARTED'
    ORDER BY lease_until, assignment_id LIMIT $2) t
 ORDER BY q.robot_id, t.lease_until, t.assignment_id
"""


async def list_robots(db: Db, robot_class: str, cursor: str, limit: int, *, seen_s: float) -> list[RobotView]:
    """Return at most `limit` robots by id, after `cursor`; a robot is live for `seen_s` seconds after its last call."""
    robots = await db.rows(ROBOTS, cursor, robot_class, limit, seen_s)
    tasks: dict[str, list[RobotTask]] = {row["robot_id"]: [] for row in robots}
    for row in await db.rows(TASKS, list(tasks), MAX_TASKS) if tasks else ():
        task = RobotTask(row["kind"], row["order_id"], row["assignment_id"], row["aisle"], row["lease_until"])
        tasks[row["robot_id"]].append(task)
    return [RobotView(*row.values(), tasks=tuple(tasks[row["robot_id"]])) for row in robots]
