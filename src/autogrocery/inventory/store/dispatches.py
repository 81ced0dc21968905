"""Holds made firm and handed to robots."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.picking import Assignment
from autogrocery.inventory.core.stock import AISLES, Line, assignment_id
from autogrocery.inventory.store.holds import literals
from autogrocery.kit.pg.batch import Many

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Row, Statements

# Each hold for exactly the lines that are asked becomes an allocation and one assignment an aisle, or nothing of it changes.
# Register rows are locked first, in the order of their ids, then the stock of the whole batch by SKU. The lines are those of
# the call: while a register row was waited for, its own may have become others than the snapshot shows.
# IS NOT DISTINCT FROM is = that no partial index serves: the way to an order is its id.
# `crews` deals robots out as single calls would, each to the least loaded live one of the aisle's class: the robot that
# stands at place n gets at most one share more than an n-th of all, because those before it have no more to do than it has.
# An order that found no robot behind the others has no row in the answer and is tried alone.
AISLE_COLUMNS = ", ".join(AISLES)
AISLE_WORDS = ", ".join(f"'{aisle}'" for aisle in AISLES)
ALLOCATE_MANY = f"""-- stock.allocations
WITH asked AS (
  SELECT a.* FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::int[], $6::uuid[], $7::uuid[], $8::uuid[],
                         $9::uuid[], $10::uuid[]) AS a (order_id, skus, quantities, seen_s, queue_max, {AISLE_COLUMNS})),
held AS MATERIALIZED (
  SELECT a.order_id, a.skus::text[] AS skus, a.quantities::int[] AS quantities, ARRAY[{AISLE_COLUMNS}] AS ids
    FROM asked a JOIN inventory.orders o ON o.order_id = a.order_id
   WHERE o.state IS NOT DISTINCT FROM 'HELD'
     AND o.granted_digest IS NOT DISTINCT FROM inventory.digest(a.skus::text[], a.quantities::int[])
   ORDER BY o.order_id FOR NO KEY UPDATE OF o),
lines AS MATERIALIZED (
  SELECT h.order_id, h.ids, s.sku, s.aisle_type AS aisle, l.quantity
    FROM held h CROSS JOIN LATERAL unnest(h.skus, h.quantities) AS l (sku, quantity)
    JOIN inventory.stock s ON s.sku = l.sku
   ORDER BY s.sku FOR NO KEY UPDATE OF s),
shares AS MATERIALIZED (
  SELECT order_id, aisle, ids[array_position(ARRAY[{AISLE_WORDS}], aisle)] AS assignment_id,
         array_agg(sku ORDER BY sku) AS skus, array_agg(quantity ORDER BY sku) AS quantities,
         row_number() OVER (PARTITION BY aisle ORDER BY order_id) AS turn
    FROM lines GROUP BY order_id, aisle, ids),
wanted AS (
  SELECT aisle, count(*) AS shares, (SELECT max(seen_s) FROM asked) AS seen_s, (SELECT min(queue_max) FROM asked) AS queue_max
    FROM shares GROUP BY aisle),
crews AS MATERIALIZED (
  SELECT w.aisle, ARRAY(
    SELECT ranked.robot_id
      FROM (SELECT live.*, row_number() OVER (ORDER BY live.waiting) AS place
              FROM (SELECT r.robot_id, (SELECT count(*) FROM inventory.assignments q
                                         WHERE q.robot_id = r.robot_id AND q.state IN ('OPEN', 'STARTED')) AS waiting
                      FROM inventory.robots r
                     WHERE r.robot_class = w.aisle AND r.last_seen_at > now() - w.seen_s * interval '1 second') live
             ORDER BY place LIMIT w.shares) ranked
     CROSS JOIN LATERAL generate_series(ranked.waiting, ranked.waiting + (w.shares - 1) / ranked.place) AS before
     WHERE before < w.queue_max
     ORDER BY before, random() LIMIT w.shares) AS robot_ids
    FROM wanted w),
chosen AS MATERIALIZED (
  SELECT s.*, c.robot_ids[s.turn] AS robot_id FROM shares s JOIN crews c ON c.aisle = s.aisle),
ready AS MATERIALIZED (
  SELECT order_id, count(*) AS assignments FROM chosen GROUP BY order_id HAVING bool_and(robot_id IS NOT NULL)),
marked AS (
  UPDATE inventory.orders o SET state = 'ASSIGNED', expires_at = NULL, unfinished = r.assignments
    FROM ready r WHERE o.order_id = r.order_id),
moved AS (
  UPDATE inventory.stock s SET held = s.held - l.quantity, allocated = s.allocated + l.quantity
    FROM (SELECT sku, sum(quantity) AS quantity FROM lines WHERE (order_id IN (SELECT order_id FROM ready)) IS TRUE
           GROUP BY sku) l
   WHERE s.sku = l.sku),
sent AS (
  INSERT INTO inventory.assignments (order_id, assignment_id, robot_id, robot_class, aisle)
  SELECT order_id, assignment_id, robot_id, aisle, aisle FROM chosen
   WHERE (order_id IN (SELECT order_id FROM ready)) IS TRUE ORDER BY order_id)
SELECT order_id, aisle, assignment_id, robot_id, skus, quantities FROM chosen
 WHERE (order_id IN (SELECT order_id FROM ready)) IS TRUE OR (SELECT count(*) FROM asked) = 1
 ORDER BY order_id, aisle
"""  # noqa: S608 - the aisles are ours
ALLOCATE = Many(ALLOCATE_MANY, (5 + len(AISLES),), alone=ALLOCATE_MANY)


class Allocated(Struct, frozen=True):
    """Assignments written, or the classes of which no robot was there and nothing was written."""

    assignments: tuple[Assignment, ...] = ()
    missing: tuple[str, ...] = ()


async def allocate(
    db: Db | Statements, order_id: UUID, lines: Sequence[Line], *, seen_s: float, queue_max: int
) -> Allocated | None:
    """Hand a held order to robots seen within `seen_s` with fewer than `queue_max` waiting; None if it is not so held."""
    ids = [assignment_id(order_id, aisle) for aisle in AISLES]
    rows = await db.together(ALLOCATE, "stock.allocate", (order_id, *literals(lines), seen_s, queue_max, *ids))
    if not rows:
        return None
    if missing := sorted({row["aisle"] for row in rows if row["robot_id"] is None}):
        return Allocated(missing=tuple(missing))
    return Allocated(
        tuple(
            Assignment(
                row["assignment_id"],
                row["robot_id"],
                row["aisle"],
                row["aisle"],
                tuple(map(Line, row["skus"], row["quantities"])),
            )
            for row in rows
        )
    )


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
