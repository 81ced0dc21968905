"""Robots as last seen, the work there is for them, and the leases under which they work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.picking import Assignment, Lease
from autogrocery.inventory.store.dispatches import grouped

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from autogrocery.kit.pg import Db

SEEN = """-- robots.seen
INSERT INTO inventory.robots AS r (robot_id, robot_class) VALUES ($1, $2)
ON CONFLICT (robot_id) DO UPDATE SET last_seen_at = now(), robot_class = excluded.robot_class
 WHERE r.last_seen_at < now() - interval '1 second' OR r.robot_class <> excluded.robot_class
"""


async def seen(db: Db, robot_id: str, robot_class: str) -> None:
    """Note that a robot lives, at most once a second."""
    await db.run(SEEN, robot_id, robot_class)


# First what is the robot's own (a robot that restarts finds its task again), then what waits for a robot not seen
# lately, then what a robot started and let lapse.
WORK = """-- robots.work
WITH work AS (
  SELECT 1 AS turn, order_id, assignment_id, created_at FROM inventory.assignments
   WHERE holder = $1 AND state = 'STARTED'
  UNION ALL
  SELECT 2, order_id, assignment_id, created_at FROM inventory.assignments
   WHERE robot_id = $1 AND robot_class = $2 AND state = 'OPEN'
  UNION ALL
  SELECT 3, a.order_id, a.assignment_id, a.created_at
    FROM inventory.robots r JOIN inventory.assignments a ON a.robot_id = r.robot_id AND a.state = 'OPEN'
   WHERE r.robot_class = $2 AND r.robot_id <> $1 AND r.last_seen_at <= now() - $4::float8 * interval '1 second'
     AND a.robot_class = $2
  UNION ALL
  SELECT 4, order_id, assignment_id, created_at FROM inventory.assignments
   WHERE robot_class = $2 AND state = 'STARTED' AND lease_until <= now() AND holder <> $1),
first AS (SELECT * FROM work ORDER BY turn, created_at, assignment_id LIMIT $3)
SELECT a.assignment_id, a.robot_id, a.robot_class, a.aisle, l.sku, l.quantity
  FROM first JOIN inventory.assignments a USING (order_id, assignment_id)
  JOIN inventory.order_lines l ON l.order_id = a.order_id AND l.aisle_type = a.aisle
 ORDER BY first.turn, first.created_at, a.assignment_id, l.sku
"""


async def work(db: Db, robot_id: str, robot_class: str, limit: int, *, seen_s: float) -> tuple[Assignment, ...]:
    """Return what this robot may start, most urgent first."""
    return grouped(await db.rows(WORK, robot_id, robot_class, limit, seen_s))


# The register row is locked first, so that a start and a cancel of the same order have an order. The same robot asking
# again keeps its fence; any other holder gets a higher one.
START = """-- robots.start
WITH locked AS MATERIALIZED (
  SELECT order_id FROM inventory.orders
   WHERE order_id = (SELECT order_id FROM inventory.assignments WHERE assignment_id = $1) AND state = 'ASSIGNED'
     FOR NO KEY UPDATE)
UPDATE inventory.assignments a
   SET state = 'STARTED', holder = $2, lease_until = clock_timestamp() + $4::float8 * interval '1 second',
       fence = CASE WHEN a.state = 'STARTED' AND a.holder = $2 THEN a.fence ELSE nextval('inventory.fences') END
  FROM locked
 WHERE a.order_id = locked.order_id AND a.assignment_id = $1 AND a.robot_class = ANY ($3::text[])
   AND (a.state = 'OPEN' OR (a.state = 'STARTED' AND (a.holder = $2 OR a.lease_until <= clock_timestamp())))
RETURNING a.fence, a.lease_until
"""


async def start(
    db: Db, assignment_id: UUID, robot_id: str, classes: Collection[str], *, lease_s: float
) -> Lease | None:
    """Give a robot of one of `classes` the lease of an assignment for `lease_s`; None if it can't have it."""
    row = await db.row(START, assignment_id, robot_id, list(classes), lease_s)
    return None if row is None else Lease(row["fence"], row["lease_until"])


CLASS = """-- robots.class
SELECT robot_class FROM inventory.assignments WHERE assignment_id = $1
"""


async def class_of(db: Db, assignment_id: UUID) -> str | None:
    """Return the class an assignment wants; None if there is no such assignment."""
    row = await db.row(CLASS, assignment_id)
    return None if row is None else str(row["robot_class"])


BEAT = """-- robots.beat
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


async def beat(db: Db, robot_id: str, fences: Sequence[int], *, lease_s: float) -> frozenset[int]:
    """Renew the leases this robot still has, for `lease_s` from now on, and return their fences."""
    rows = await db.rows(BEAT, robot_id, list(fences), lease_s)
    return frozenset(row["fence"] for row in rows)
