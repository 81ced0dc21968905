"""Dispatches: held stock becomes allocated, and each aisle's lines become an assignment of a robot."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.picking import Assignment
from autogrocery.inventory.core.stock import AISLES, AssignDecision, Line, assignment_id, decide_assign
from autogrocery.inventory.store import holds, orders
from autogrocery.inventory.store.holds import array_literals
from autogrocery.kit.pg.batch import BatchStatement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, DbConnection, Row

TRANSIENT_HOLD_S = 60  # of a hold that becomes an allocation in the same transaction, so no other call sees it

# Dispatches a batch of orders. For each order that holds exactly the requested lines, the hold becomes an allocation
# and each aisle becomes one assignment; an order that does not, or that finds no robot, is left unchanged.
# - Lock order: register rows by order id, then the stock of the whole batch by SKU.
# - The lines come from the call, because the statement's snapshot may show older lines of a row that it waited for.
# - IS NOT DISTINCT FROM means =, but no partial index matches it: orders must be looked up by their id.
# - `candidates` chooses robots as single calls would, each share going to the least loaded live robot of the aisle's
#   class. The robot ranked n-th gets at most one share more than 1/n of all, because those ranked before it have no
#   more work.
# - An order that finds no robot because of the others in the batch has no row in the result, and is tried alone.
AISLE_COLUMNS = ", ".join(AISLES)
AISLE_WORDS = ", ".join(f"'{aisle}'" for aisle in AISLES)
ALLOCATE_MANY = f"""-- stock.allocations
WITH calls AS (
  SELECT a.* FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::int[], $6::uuid[], $7::uuid[],
                         $8::uuid[], $9::uuid[], $10::uuid[])
         AS a (order_id, skus, quantities, seen_s, queue_max, {AISLE_COLUMNS})),
held AS MATERIALIZED (
  SELECT a.order_id, a.skus::text[] AS skus, a.quantities::int[] AS quantities, ARRAY[{AISLE_COLUMNS}] AS ids
    FROM calls a JOIN inventory.orders o ON o.order_id = a.order_id
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
  SELECT aisle, count(*) AS shares, (SELECT max(seen_s) FROM calls) AS seen_s,
         (SELECT min(queue_max) FROM calls) AS queue_max
    FROM shares GROUP BY aisle),
candidates AS MATERIALIZED (
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
  SELECT s.*, c.robot_ids[s.turn] AS robot_id FROM shares s JOIN candidates c ON c.aisle = s.aisle),
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
 WHERE (order_id IN (SELECT order_id FROM ready)) IS TRUE OR (SELECT count(*) FROM calls) = 1
 ORDER BY order_id, aisle
"""  # noqa: S608 - the aisles are ours
ALLOCATE = BatchStatement(ALLOCATE_MANY, (5 + len(AISLES),), alone=ALLOCATE_MANY)


class AllocationResult(Struct, frozen=True):
    """The assignments written, or the classes without an available robot, and then nothing was written."""

    assignments: tuple[Assignment, ...] = ()
    missing_classes: tuple[str, ...] = ()


async def allocate(
    db: Db | DbConnection, order_id: UUID, lines: Sequence[Line], *, seen_s: float, queue_max: int
) -> AllocationResult | None:
    """Allocate a held order to robots; None if the order does not hold exactly these lines.

    Robots qualify if seen within `seen_s` seconds and with fewer than `queue_max` open assignments.
    """
    ids = [assignment_id(order_id, aisle) for aisle in AISLES]
    rows = await db.run_batched(ALLOCATE, "stock.allocate", (order_id, *array_literals(lines), seen_s, queue_max, *ids))
    if not rows:
        return None
    if missing := sorted({row["aisle"] for row in rows if row["robot_id"] is None}):
        return AllocationResult(missing_classes=tuple(missing))
    return AllocationResult(
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


class DispatchRefusedError(Exception):
    """The order can't be dispatched, with the reason; rolls back what the transaction held."""


class ConcurrentHoldError(Exception):
    """Another call registered the order meanwhile. Rolls back: the order must be locked before any stock."""


class Dispatch(Struct, frozen=True):
    """The assignments of an order; `repeated` if an earlier call made them."""

    assignments: tuple[Assignment, ...]
    repeated: bool = False


def require_assignments(allocated: AllocationResult) -> tuple[Assignment, ...]:
    """Return the assignments; raises DispatchRefusedError if a class has no available robot."""
    if allocated.missing_classes:
        raise DispatchRefusedError(f"no robots of class {', '.join(allocated.missing_classes)}")
    return allocated.assignments


async def hold_and_allocate(
    db: Db, order_id: UUID, lines: Sequence[Line], *, seen_s: float, queue_max: int
) -> Dispatch:
    """Hold what the order does not hold yet and allocate it, in one transaction; or return the earlier assignments.

    Raises DispatchRefusedError, ShortageError, StaleStockError, or ConcurrentHoldError: call again. After an error
    nothing has changed.
    """
    async with db.transaction() as tx:
        if await _is_dispatched(tx, order_id, lines):
            return Dispatch(await list_of_order(tx, order_id), repeated=True)
        allocated = await allocate(tx, order_id, lines, seen_s=seen_s, queue_max=queue_max)
        if allocated is None:
            raise LookupError("the order is not held although its row is locked")
        return Dispatch(require_assignments(allocated))


async def _is_dispatched(tx: DbConnection, order_id: UUID, lines: Sequence[Line]) -> bool:
    """Return True if the order was dispatched with these lines; otherwise make it hold them."""
    order = await orders.lock(tx, order_id, lines)
    if order is None:
        if await holds.hold(tx, order_id, lines, TRANSIENT_HOLD_S, allow_partial=False) is None:
            raise ConcurrentHoldError
        return False
    match decide_assign(order):
        case AssignDecision.REFUSE_RELEASED:
            raise DispatchRefusedError("the order was released")
        case AssignDecision.REFUSE_DIFFERENT:
            raise DispatchRefusedError("the order was dispatched with other items")
        case AssignDecision.REPEAT:
            return True
        case AssignDecision.REPLACE_HOLD:
            await holds.remove_lines(tx, order_id, lines, held=order.is_held)
            await holds.hold_again(tx, order_id, lines, TRANSIENT_HOLD_S, allow_partial=False, keep_request=False)
        case AssignDecision.ALLOCATE:
            pass
    return False


# The assignments of an order, one row a line.
LIST = """-- assignments.list
SELECT a.aisle, a.robot_class, a.assignment_id, a.robot_id, l.sku, l.quantity
  FROM inventory.assignments a JOIN inventory.order_lines l ON l.order_id = a.order_id AND l.aisle_type = a.aisle
 WHERE a.order_id = $1 ORDER BY a.aisle, l.sku
"""


async def list_of_order(db: Db | DbConnection, order_id: UUID) -> tuple[Assignment, ...]:
    """Return the assignments of an order, by aisle."""
    return group_assignments(await db.rows(LIST, order_id))


def group_assignments(rows: Sequence[Row]) -> tuple[Assignment, ...]:
    """Group rows of assignment and line into assignments; rows of one assignment must be adjacent."""
    assignments = []
    for _, group in groupby(rows, key=lambda row: row["assignment_id"]):
        parts = list(group)
        first = parts[0]
        lines = tuple(Line(row["sku"], row["quantity"]) for row in parts)
        assignments.append(
            Assignment(first["assignment_id"], first["robot_id"], first["robot_class"], first["aisle"], lines)
        )
    return tuple(assignments)
