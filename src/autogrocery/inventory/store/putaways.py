"""Putaways: robots' assignments on restock orders, in a table of their own so that no pick waits for a putaway.

Their leases take fences from the same sequence as those of picks. Lock order: the restock order's row, its putaway, its
lines, and stock last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.picking import Assignment, LastLease, Lease, OrderType
from autogrocery.inventory.core.putaway import ReceivedCount, putaway_id
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store.poll_cache import now_s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from uuid import UUID

    from autogrocery.inventory.core.putaway import PutawayReport
    from autogrocery.inventory.core.restock import RestockLine
    from autogrocery.inventory.store.poll_cache import PollCache
    from autogrocery.kit.pg.db import Db, DbConnection, Row

# Adds the putaways of a restock order, one an aisle.
ADD = """-- putaways.add
INSERT INTO inventory.putaways (order_id, assignment_id, aisle) SELECT $1::uuid, * FROM unnest($2::uuid[], $3::text[])
"""


async def add(tx: DbConnection, order_id: UUID, lines: Iterable[RestockLine]) -> tuple[Assignment, ...]:
    """Add a putaway for each aisle of a new restock order, open to any robot of the aisle's class; return them."""
    aisles: dict[str, list[Line]] = {}
    for line in lines:
        aisles.setdefault(line.aisle_type, []).append(Line(line.sku, line.quantity))
    putaways = tuple(_assignment(putaway_id(order_id, aisle), aisle, aisles[aisle]) for aisle in sorted(aisles))
    await tx.run(ADD, order_id, [one.assignment_id for one in putaways], [one.aisle for one in putaways])
    return putaways


# Putaways of a class ($2) that a robot ($1) may start: first those it has started, so that it resumes after a restart,
# then open ones, then those of other robots whose lease has ended.
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


async def list_work(db: Db, polls: PollCache, robot_id: str, robot_class: str, limit: int) -> tuple[Assignment, ...]:
    """Return the putaways that a robot may start, its own first; no query is sent shortly after one found none."""
    if polls.has_no_putaways(robot_class):
        return ()
    at_s = now_s()
    rows = await db.rows(WORK, robot_id, robot_class, limit)
    if not rows:
        polls.put_no_putaways(robot_class, at_s)
    return tuple(
        _assignment(row["assignment_id"], row["aisle"], map(Line, row["skus"], row["quantities"])) for row in rows
    )


# Grants the lease of an open putaway, or of one whose lease is the robot's own or has ended. A robot that asks again
# keeps its fence; a new holder gets a higher one.
START = """-- putaways.start
UPDATE inventory.putaways
   SET state = 'STARTED', holder = $2, lease_until = clock_timestamp() + $4::float8 * interval '1 second',
       fence = CASE WHEN state = 'STARTED' AND holder = $2 THEN fence ELSE nextval('inventory.fences') END
 WHERE assignment_id = $1 AND aisle = ANY ($3::text[])
   AND (state = 'OPEN' OR (state = 'STARTED' AND (holder = $2 OR lease_until <= clock_timestamp())))
RETURNING order_id, aisle, fence, lease_until
"""
# The totals reported so far of a restock order's lines in one aisle.
TOTALS = """-- putaways.totals
SELECT sku, received, damaged FROM inventory.restock_lines
 WHERE order_id = $1 AND aisle_type = $2 AND received + damaged > 0 ORDER BY sku
"""


async def start(
    db: Db, assignment_id: UUID, robot_id: str, classes: Collection[str], *, lease_s: float
) -> Lease | None:
    """Grant a robot of one of `classes` the lease of a putaway for `lease_s` seconds, with the totals so far.

    Returns None if another robot has the lease, the putaway is done, or there is none.
    """
    row = await db.row(START, assignment_id, robot_id, list(classes), lease_s)
    if row is None:
        return None
    totals = await db.rows(
        TOTALS, row["order_id"], row["aisle"]
    )  # read after the lease is granted: an older fence can't add to them any more
    return Lease(row["fence"], row["lease_until"], _counts(totals))


# The class of a putaway, which is its aisle.
CLASS = """-- putaways.class
SELECT aisle FROM inventory.putaways WHERE assignment_id = $1
"""


async def get_class(db: Db, assignment_id: UUID) -> str | None:
    """Return the robot class of a putaway; None if there is no such putaway."""
    row = await db.row(CLASS, assignment_id)
    return None if row is None else str(row["aisle"])


# Renews those of a robot's leases that it still has; rows are locked by their ids.
RENEW_LEASES = """-- putaways.beat
WITH mine AS MATERIALIZED (
  SELECT order_id, assignment_id, fence FROM inventory.putaways
   WHERE holder = $1 AND state = 'STARTED' AND fence = ANY ($2::bigint[])
   ORDER BY order_id, assignment_id FOR NO KEY UPDATE)
UPDATE inventory.putaways p SET lease_until = clock_timestamp() + $3::float8 * interval '1 second'
  FROM mine WHERE p.order_id = mine.order_id AND p.assignment_id = mine.assignment_id
RETURNING p.fence
"""


async def renew_leases(db: Db, robot_id: str, fences: Collection[int], *, lease_s: float) -> frozenset[int]:
    """Renew the putaway leases that a robot still has for `lease_s` seconds; return their fences."""
    rows = await db.rows(RENEW_LEASES, robot_id, list(fences), lease_s)
    return frozenset(row["fence"] for row in rows)


# Locks a leased putaway with its restock order and its lines. Locking the lines reads their present values, not those
# of before the wait for the restock order's row.
LOCK = """-- putaways.lock
SELECT r.order_id, l.sku, l.received, l.damaged
  FROM inventory.putaways p
  JOIN inventory.restocks r ON r.order_id = p.order_id
  JOIN inventory.restock_lines l ON l.order_id = p.order_id AND l.aisle_type = p.aisle
 WHERE p.assignment_id = $1 AND p.holder = $2 AND p.fence = $3 AND p.aisle = ANY ($4::text[])
   AND p.state = 'STARTED' AND r.state = 'RECEIVING'
 ORDER BY l.sku FOR NO KEY UPDATE OF r, p, l
"""


class LockedPutaway(Struct, frozen=True):
    """A locked putaway: the id of its restock order, and the totals of its lines."""

    order_id: UUID
    counts: tuple[ReceivedCount, ...]


async def lock(tx: DbConnection, report: PutawayReport, classes: Collection[str]) -> LockedPutaway | None:
    """Lock a putaway whose class is in `classes`, its restock order and its lines.

    Returns None if the robot does not have the lease with this fence, or if the putaway is done.
    """
    rows = await tx.rows(LOCK, report.assignment_id, report.robot_id, report.fence, list(classes))
    return LockedPutaway(rows[0]["order_id"], _counts(rows)) if rows else None


# Writes new totals of a putaway's lines, and closes the putaway if it is done ($4).
WRITE_COUNTS = """-- putaways.count
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


async def write_counts(
    tx: DbConnection, order_id: UUID, report: PutawayReport, totals: Sequence[ReceivedCount]
) -> None:
    """Write new totals of a locked putaway, and close it if the report says it is done."""
    columns = zip(*((one.sku, one.received, one.damaged) for one in totals), strict=True) if totals else ((), (), ())
    await tx.run(WRITE_COUNTS, order_id, report.assignment_id, report.sequence, report.done, *map(list, columns))


# The state and the newest lease of a putaway.
LAST_LEASE = """-- putaways.last
SELECT state, holder, fence, aisle FROM inventory.putaways WHERE assignment_id = $1
"""


async def get_last_lease(tx: DbConnection, assignment_id: UUID) -> LastLease | None:
    """Return a putaway's class, newest lease and whether it is done; None if there is no such putaway."""
    row = await tx.row(LAST_LEASE, assignment_id)
    return None if row is None else LastLease(row["state"] == "DONE", row["holder"], row["fence"], row["aisle"])


def _assignment(assignment_id: UUID, aisle: str, lines: Iterable[Line]) -> Assignment:
    return Assignment(assignment_id, "", aisle, aisle, tuple(lines), OrderType.PUTAWAY)


def _counts(rows: Sequence[Row]) -> tuple[ReceivedCount, ...]:
    return tuple(ReceivedCount(row["sku"], row["received"], row["damaged"]) for row in rows)
