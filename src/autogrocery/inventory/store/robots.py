"""Robots: when they were last seen, the assignments they may start, and their leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.picking import Assignment, Lease
from autogrocery.inventory.store.dispatches import group_assignments
from autogrocery.inventory.store.poll_cache import now_s
from autogrocery.kit.pg.batch import BatchStatement

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from autogrocery.inventory.store.poll_cache import PollCache
    from autogrocery.kit.pg.db import Db

# Records robots as seen; a row is written at most once a second, in the order of the ids.
SEEN_MANY = """-- robots.sightings
INSERT INTO inventory.robots AS r (robot_id, robot_class)
SELECT * FROM unnest($1::text[], $2::text[]) AS a (robot_id, robot_class) ORDER BY robot_id COLLATE "C"
ON CONFLICT (robot_id) DO UPDATE SET last_seen_at = now(), robot_class = excluded.robot_class
 WHERE r.last_seen_at < now() - interval '1 second' OR r.robot_class <> excluded.robot_class
"""
SEEN = BatchStatement(SEEN_MANY, (2,))


async def record_seen(db: Db, polls: PollCache, robot_id: str, robot_class: str) -> None:
    """Record that a robot was seen, at most once a second; no query is sent for one that `polls` saw a moment ago."""
    if polls.was_seen(robot_id, robot_class):
        return
    at_s = now_s()
    await db.run_batched(SEEN, "robots.seen", (robot_id, robot_class))
    polls.put_seen(robot_id, robot_class, at_s)


# For each robot in the batch, at most `most` assignments that it may start: 1 those it has started, so that it resumes
# after a restart; 2 those assigned to it; 3 those assigned to robots of its class not seen for `seen_s` seconds; 4
# those of other robots whose lease has ended.
WORK_MANY = """-- robots.works
SELECT q.robot_id AS asker, w.assignment_id, a.robot_id, a.robot_class, a.aisle, l.sku, l.quantity
  FROM unnest($1::text[], $2::text[], $3::int[], $4::float8[]) AS q (robot_id, robot_class, most, seen_s)
 CROSS JOIN LATERAL (
    SELECT 1 AS turn, order_id, assignment_id, created_at FROM inventory.assignments
     WHERE holder = q.robot_id AND state = 'STARTED'
    UNION ALL
    SELECT 2, order_id, assignment_id, created_at FROM inventory.assignments
     WHERE robot_id = q.robot_id AND robot_class = q.robot_class AND state = 'OPEN'
    UNION ALL
    SELECT 3, a.order_id, a.assignment_id, a.created_at
      FROM inventory.robots r CROSS JOIN LATERAL (
        SELECT order_id, assignment_id, created_at FROM inventory.assignments
         WHERE robot_id = r.robot_id AND robot_class = q.robot_class AND state = 'OPEN'
         ORDER BY created_at LIMIT q.most) a
     WHERE r.robot_class = q.robot_class AND r.robot_id <> q.robot_id
       AND r.last_seen_at <= now() - q.seen_s * interval '1 second'
    UNION ALL
    SELECT 4, order_id, assignment_id, created_at FROM inventory.assignments
     WHERE robot_class = q.robot_class AND state = 'STARTED' AND lease_until BETWEEN '-infinity' AND now()
       AND holder <> q.robot_id
     ORDER BY turn, created_at, assignment_id LIMIT q.most) w
  JOIN inventory.assignments a ON a.assignment_id = w.assignment_id
  JOIN inventory.order_lines l ON l.order_id = w.order_id AND l.aisle_type = a.aisle
 ORDER BY asker, w.turn, w.created_at, w.assignment_id, l.sku
"""
WORK = BatchStatement(WORK_MANY, (4,))


async def list_work(db: Db, robot_id: str, robot_class: str, limit: int, *, seen_s: float) -> tuple[Assignment, ...]:
    """Return at most `limit` assignments that a robot may start, its own first."""
    return group_assignments(await db.run_batched(WORK, "robots.work", (robot_id, robot_class, limit, seen_s)))


# Grants a batch of leases: of open assignments, and of started ones whose lease is the robot's own or has ended. A
# robot that asks again keeps its fence; a new holder gets a higher one.
# - The register row is locked first, which serialises a start and a cancel of the same order. Orders are locked by
#   their ids, as heartbeats and reports lock them.
# - IS NOT DISTINCT FROM means =, but no partial index matches it: assignments must be looked up by their id.
START_MANY = """-- robots.starts
WITH locked AS MATERIALIZED (
  SELECT a.order_id, a.assignment_id, q.robot_id, q.lease_s
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[]) AS q (assignment_id, robot_id, classes, lease_s)
    JOIN inventory.assignments a ON a.assignment_id = q.assignment_id
    JOIN inventory.orders o ON o.order_id = a.order_id
   WHERE o.state = 'ASSIGNED' AND a.robot_class = ANY (string_to_array(q.classes, ' '))
     AND (a.state IS NOT DISTINCT FROM 'OPEN'
          OR (a.state IS NOT DISTINCT FROM 'STARTED' AND (a.holder = q.robot_id OR a.lease_until <= clock_timestamp())))
   ORDER BY a.order_id, a.assignment_id FOR NO KEY UPDATE OF o, a)
UPDATE inventory.assignments a
   SET state = 'STARTED', holder = l.robot_id, lease_until = clock_timestamp() + l.lease_s * interval '1 second',
       fence = CASE WHEN a.state = 'STARTED' AND a.holder = l.robot_id THEN a.fence ELSE nextval('inventory.fences') END
  FROM locked l WHERE a.order_id = l.order_id AND a.assignment_id = l.assignment_id
RETURNING a.assignment_id, a.fence, a.lease_until
"""
START = BatchStatement(START_MANY, (4,))


async def start(
    db: Db, assignment_id: UUID, robot_id: str, classes: Collection[str], *, lease_s: float
) -> Lease | None:
    """Grant a robot of one of `classes` (words without a space) the lease of an assignment for `lease_s` seconds.

    Returns None if another robot has the lease, the assignment is closed, or there is none.
    """
    rows = await db.run_batched(START, "robots.start", (assignment_id, robot_id, " ".join(classes), lease_s))
    return Lease(rows[0]["fence"], rows[0]["lease_until"]) if rows else None


# The robot class of an assignment.
CLASS = """-- robots.class
SELECT robot_class FROM inventory.assignments WHERE assignment_id = $1
"""


async def get_class(db: Db, assignment_id: UUID) -> str | None:
    """Return the robot class of an assignment; None if there is no such assignment."""
    row = await db.row(CLASS, assignment_id)
    return None if row is None else str(row["robot_class"])


# Renews those of a robot's leases that it still has, and records the robot as seen; rows are locked by their ids.
RENEW_LEASES = """-- robots.beat
WITH mine AS MATERIALIZED (
  SELECT order_id, assignment_id, fence FROM inventory.assignments
   WHERE holder = $1 AND state = 'STARTED' AND fence = ANY ($2::bigint[])
   ORDER BY order_id, assignment_id FOR NO KEY UPDATE),
seen AS (
  UPDATE inventory.robots SET last_seen_at = now()
   WHERE robot_id = $1 AND last_seen_at < now() - interval '1 second')
UPDATE inventory.assignments a SET lease_until = clock_timestamp() + $3::float8 * interval '1 second'
  FROM mine WHERE a.order_id = mine.order_id AND a.assignment_id = mine.assignment_id
RETURNING a.fence
"""


async def renew_leases(db: Db, robot_id: str, fences: Sequence[int], *, lease_s: float) -> frozenset[int]:
    """Renew the leases that a robot still has for `lease_s` seconds; return their fences."""
    rows = await db.rows(RENEW_LEASES, robot_id, list(fences), lease_s)
    return frozenset(row["fence"] for row in rows)
