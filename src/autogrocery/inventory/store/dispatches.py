"""Holds made firm and handed to robots."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.picking import Assignment
from autogrocery.inventory.core.stock import AISLES, Line, assignment_id
from autogrocery.inventory.store.holds import columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg import Db, Row, Statements

# A hold for exactly these lines becomes an allocation and one assignment an aisle, or nothing changes. The robot is the
# least loaded live one of the aisle's class; the load is a snapshot, so equals are ordered differently for each order.
ALLOCATE = """-- stock.allocate
WITH held AS MATERIALIZED (
  SELECT order_id FROM inventory.orders
   WHERE order_id = $1 AND state = 'HELD' AND granted_digest = inventory.digest($2::text[], $3::int[])
     FOR NO KEY UPDATE),
lines AS MATERIALIZED (
  SELECT s.sku, s.aisle_type, a.quantity
    FROM unnest($2::text[], $3::int[]) AS a (sku, quantity) JOIN inventory.stock s ON s.sku = a.sku
   WHERE EXISTS (SELECT FROM held)),
chosen AS MATERIALIZED (
  SELECT n.aisle, n.assignment_id, best.robot_id
    FROM unnest($4::text[], $5::uuid[]) AS n (aisle, assignment_id)
    LEFT JOIN LATERAL (
      SELECT r.robot_id FROM inventory.robots r
       CROSS JOIN LATERAL (
         SELECT count(*) AS waiting FROM inventory.assignments q
          WHERE q.robot_id = r.robot_id AND q.state IN ('OPEN', 'STARTED')) q
       WHERE r.robot_class = n.aisle AND r.last_seen_at > now() - $6::float8 * interval '1 second' AND q.waiting < $7
       ORDER BY q.waiting, hashtext(r.robot_id || n.assignment_id::text) LIMIT 1) best ON true
   WHERE n.aisle IN (SELECT aisle_type FROM lines)),
ready AS (
  SELECT count(*) AS assignments FROM chosen HAVING count(*) > 0 AND bool_and(robot_id IS NOT NULL)),
locked AS (
  SELECT sku FROM inventory.stock
   WHERE sku = ANY ($2::text[]) AND EXISTS (SELECT FROM ready) ORDER BY sku FOR NO KEY UPDATE),
marked AS (
  UPDATE inventory.orders o SET state = 'ASSIGNED', expires_at = NULL, unfinished = ready.assignments
    FROM ready WHERE o.order_id = $1 AND (SELECT count(*) FROM locked) = cardinality($2::text[])
  RETURNING o.order_id),
moved AS (
  UPDATE inventory.stock s SET held = s.held - l.quantity, allocated = s.allocated + l.quantity
    FROM lines l, marked WHERE s.sku = l.sku),
sent AS (
  INSERT INTO inventory.assignments (order_id, assignment_id, robot_id, robot_class, aisle)
  SELECT m.order_id, c.assignment_id, c.robot_id, c.aisle, c.aisle FROM chosen c, marked m)
SELECT c.aisle, c.aisle AS robot_class, c.assignment_id, c.robot_id, l.sku, l.quantity
  FROM chosen c JOIN lines l ON l.aisle_type = c.aisle ORDER BY c.aisle, l.sku
"""


class Allocated(Struct, frozen=True):
    """Assignments written, or the classes of which no robot was there and nothing was written."""

    assignments: tuple[Assignment, ...] = ()
    missing: tuple[str, ...] = ()


async def allocate(
    db: Db | Statements, order_id: UUID, lines: Sequence[Line], *, seen_s: float, queue_max: int
) -> Allocated | None:
    """Hand a held order to robots seen within `seen_s` with fewer than `queue_max` waiting; None if it is not so held."""
    ids = [assignment_id(order_id, aisle) for aisle in AISLES]
    rows = await db.rows(ALLOCATE, order_id, *columns(lines), list(AISLES), ids, seen_s, queue_max)
    if not rows:
        return None
    missing = sorted({row["aisle"] for row in rows if row["robot_id"] is None})
    return Allocated(missing=tuple(missing)) if missing else Allocated(grouped(rows))


LIST = """-- assignments.list
SELECT a.aisle, a.robot_class, a.assignment_id, a.robot_id, l.sku, l.quantity
  FROM inventory.assignments a JOIN inventory.order_lines l ON l.order_id = a.order_id AND l.aisle_type = a.aisle
 WHERE a.order_id = $1 ORDER BY a.aisle, l.sku
"""


async def of_order(db: Db | Statements, order_id: UUID) -> tuple[Assignment, ...]:
    """Return the assignments of an order as they were made."""
    return grouped(await db.rows(LIST, order_id))


def grouped(rows: Sequence[Row]) -> tuple[Assignment, ...]:
    """Gather rows of assignment and line, which lie together, into assignments."""
    gathered = []
    for _, together in groupby(rows, key=lambda row: row["assignment_id"]):
        parts = list(together)
        first = parts[0]
        lines = tuple(Line(row["sku"], row["quantity"]) for row in parts)
        gathered.append(
            Assignment(first["assignment_id"], first["robot_id"], first["robot_class"], first["aisle"], lines)
        )
    return tuple(gathered)
