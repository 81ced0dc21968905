"""The robots' work on deliveries: as picks have assignments, but beside them, so that no pick waits for a putaway.

Leases are numbered by the same sequence of fences as those of picks. Locks are taken in the order of the rest: the
delivery's row, its putaway, its lines, and stock last.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.inventory.core.picking import Assignment, Last, Lease, OrderType
from autogrocery.inventory.core.putaway import Count, putaway_id
from autogrocery.inventory.core.stock import Line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from uuid import UUID

    from autogrocery.inventory.core.delivery import Delivered
    from autogrocery.inventory.core.putaway import PutawayReport
    from autogrocery.kit.pg.db import Db, Row, Statements

IDLE_S: Final = 0.5

ADD = """-- putaways.add
INSERT INTO inventory.putaways (order_id, assignment_id, aisle) SELECT $1::uuid, * FROM unnest($2::uuid[], $3::text[])
"""


async def add(tx: Statements, order_id: UUID, lines: Iterable[Delivered]) -> tuple[Assignment, ...]:
    """Make an assignment for each aisle of a delivery that was entered now; for no robot in particular."""
    aisles: dict[str, list[Line]] = {}
    for line in lines:
        aisles.setdefault(line.aisle_type, []).append(Line(line.sku, line.quantity))
    made = tuple(_assignment(putaway_id(order_id, aisle), aisle, aisles[aisle]) for aisle in sorted(aisles))
    await tx.run(ADD, order_id, [one.assignment_id for one in made], [one.aisle for one in made])
    return made


# First what the robot has begun (one that restarts finds its task again), then what waits, then what others let lapse.
WORK = """-- putaways.work
SELECT w.assignment_id, w.aisle, l.skus, l.quantities
  FROM (SELECT *, CASE WHEN state = 'OPEN' THEN 2 WHEN holder = $1 THEN 1 ELSE 3 END AS turn
          FROM inventory.putaways
         WHERE aisle = $2 AND state <> 'DONE' AND (state = 'OPEN' OR holder = $1 OR lease_until <= now())
         ORDER BY turn, created_at, assignment_id LIMIT $3) w
 CROSS JOIN LATERAL (
    SELECT array_agg(sku ORDER BY sku) AS skus, array_agg(quantity::int ORDER BY sku) AS quantities
      FROM inventory.restock_lines WHERE order_id = w.order_id AND aisle_type = w.aisle) l
 ORDER BY w.turn, w.created_at, w.assignment_id
"""


async def work(db: Db, robot_id: str, robot_class: str, limit: int) -> tuple[Assignment, ...]:
    """Return what this robot may start, its own first. Where this process found nothing just now it does not look again."""
    idle, at_s = ("no putaways", robot_class), asyncio.get_running_loop().time()
    if at_s - (db.recent.get(idle) or -IDLE_S) < IDLE_S:
        return ()
    rows = await db.rows(WORK, robot_id, robot_class, limit)
    if not rows:
        db.recent.keep(idle, at_s)
    return tuple(
        _assignment(row["assignment_id"], row["aisle"], map(Line, row["skus"], row["quantities"])) for row in rows
    )


def forget_idle(db: Db, made: Iterable[Assignment]) -> None:
    """There is work again: robots that are called find it at once."""
    for assignment in made:
        db.recent.forget(("no putaways", assignment.robot_class))


# The same robot asking again keeps its fence; any other holder gets a higher one.
START = """-- putaways.start
UPDATE inventory.putaways
   SET state = 'STARTED', holder = $2, lease_until = clock_timestamp() + $4::float8 * interval '1 second',
       fence = CASE WHEN state = 'STARTED' AND holder = $2 THEN fence ELSE nextval('inventory.fences') END
 WHERE assignment_id = $1 AND aisle = ANY ($3::text[])
   AND (state = 'OPEN' OR (state = 'STARTED' AND (holder = $2 OR lease_until <= clock_timestamp())))
RETURNING order_id, aisle, fence, lease_until
"""
TOTALS = """-- putaways.totals
SELECT sku, received, damaged FROM inventory.restock_lines
 WHERE order_id = $1 AND aisle_type = $2 AND received + damaged > 0 ORDER BY sku
"""


async def start(
    db: Db, assignment_id: UUID, robot_id: str, classes: Collection[str], *, lease_s: float
) -> Lease | None:
    """Give a robot of one of `classes` the lease of a putaway for `lease_s`, with the totals so far; None if it can't have it."""
    row = await db.row(START, assignment_id, robot_id, list(classes), lease_s)
    if row is None:
        return None
    totals = await db.rows(TOTALS, row["order_id"], row["aisle"])  # behind the lease: no older fence adds to them
    return Lease(row["fence"], row["lease_until"], _counts(totals))


CLASS = """-- putaways.class
SELECT aisle FROM inventory.putaways WHERE assignment_id = $1
"""


async def class_of(db: Db, assignment_id: UUID) -> str | None:
    """Return the class a putaway wants; None if there is no such putaway."""
    row = await db.row(CLASS, assignment_id)
    return None if row is None else str(row["aisle"])


BEAT = """-- putaways.beat
WITH mine AS MATERIALIZED (
  SELECT order_id, assignment_id, fence FROM inventory.putaways
   WHERE holder = $1 AND state = 'STARTED' AND fence = ANY ($2::bigint[])
   ORDER BY order_id, assignment_id FOR NO KEY UPDATE)
UPDATE inventory.putaways p SET lease_until = clock_timestamp() + $3::float8 * interval '1 second'
  FROM mine WHERE p.order_id = mine.order_id AND p.assignment_id = mine.assignment_id
RETURNING p.fence
"""


async def beat(db: Db, robot_id: str, fences: Collection[int], *, lease_s: float) -> frozenset[int]:
    """Renew the leases of putaways this robot still has, for `lease_s` from now on, and return their fences."""
    rows = await db.rows(BEAT, robot_id, list(fences), lease_s)
    return frozenset(row["fence"] for row in rows)


# The lines are locked too, and so read as they are now, not as they were before the delivery's row was waited for.
LOCK = """-- putaways.lock
SELECT r.order_id, l.sku, l.received, l.damaged
  FROM inventory.putaways p
  JOIN inventory.restocks r ON r.order_id = p.order_id
  JOIN inventory.restock_lines l ON l.order_id = p.order_id AND l.aisle_type = p.aisle
 WHERE p.assignment_id = $1 AND p.holder = $2 AND p.fence = $3 AND p.aisle = ANY ($4::text[])
   AND p.state = 'STARTED' AND r.state = 'RECEIVING'
 ORDER BY l.sku FOR NO KEY UPDATE OF r, p, l
"""


class Locked(Struct, frozen=True):
    """A putaway under its lease: its delivery, and the totals of its lines."""

    order_id: UUID
    counts: tuple[Count, ...]


async def lock(tx: Statements, report: PutawayReport, classes: Collection[str]) -> Locked | None:
    """Lock the putaway, of one of `classes`, its delivery and its lines; None if the robot has no lease of it by this fence, or it is done."""
    rows = await tx.rows(LOCK, report.assignment_id, report.robot_id, report.fence, list(classes))
    return Locked(rows[0]["order_id"], _counts(rows)) if rows else None


COUNT = """-- putaways.count
WITH counted AS (
  UPDATE inventory.restock_lines l SET received = c.received, damaged = c.damaged
    FROM unnest($5::text[], $6::bigint[], $7::bigint[]) AS c (sku, received, damaged)
   WHERE l.order_id = $1 AND l.sku = c.sku),
reported AS (
  UPDATE inventory.restocks SET reported_at = clock_timestamp() WHERE order_id = $1)
UPDATE inventory.putaways
   SET sequence = $3, state = CASE WHEN $4::bool THEN 'DONE' ELSE state END,
       closed_at = CASE WHEN $4 THEN clock_timestamp() END
 WHERE order_id = $1 AND assignment_id = $2 AND state = 'STARTED'
"""


async def count(tx: Statements, order_id: UUID, report: PutawayReport, totals: Sequence[Count]) -> None:
    """Write new totals of a locked putaway, and close it if the report says that it is done."""
    columns = zip(*((one.sku, one.received, one.damaged) for one in totals), strict=True) if totals else ((), (), ())
    await tx.run(COUNT, order_id, report.assignment_id, report.sequence, report.done, *map(list, columns))


LAST = """-- putaways.last
SELECT state, holder, fence, aisle FROM inventory.putaways WHERE assignment_id = $1
"""


async def last(tx: Statements, assignment_id: UUID) -> Last | None:
    """Return a putaway's last lease, whether it is done, and its class; None if there is no such putaway."""
    row = await tx.row(LAST, assignment_id)
    return None if row is None else Last(row["state"] == "DONE", row["holder"], row["fence"], row["aisle"])


def _assignment(assignment_id: UUID, aisle: str, lines: Iterable[Line]) -> Assignment:
    return Assignment(assignment_id, "", aisle, aisle, tuple(lines), OrderType.PUTAWAY)


def _counts(rows: Sequence[Row]) -> tuple[Count, ...]:
    return tuple(Count(row["sku"], row["received"], row["damaged"]) for row in rows)
