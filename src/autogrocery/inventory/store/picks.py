"""Robots' reports on assignments; the last report of an order closes the order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autogrocery.inventory.core.lots import LineStock, exclude_off_sale
from autogrocery.inventory.core.picking import LastLease
from autogrocery.inventory.store import lots
from autogrocery.kit.pg.batch import BatchStatement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from autogrocery.inventory.core.picking import Report
    from autogrocery.inventory.store.lots import LotRemoval
    from autogrocery.kit.pg.db import Db, DbConnection

# Closes a batch of assignments and moves their stock; with the last assignment of an order, closes the order and adds
# its webhook to the outbox.
# - Units not picked are missing from the shelf and written off in the ledger, unless the robot gave up (FAILED): then
#   they are still on the shelf and become free.
# - Lock order: register rows and assignments by their ids, then the stock of the whole batch by SKU. `unfinished` is
#   counted down on the locked register row, so that of two concurrent last reports exactly one closes the order.
# - Each unit that leaves the shelf gets the next number of its SKU, from which its lot is derived (0003_lots.sql). A
#   report on stock past its `sellable_until` closes nothing, unless `off_sale` gives the units of each line left on
#   the shelf.
# - IS NOT DISTINCT FROM means =, but no partial index matches it: assignments must be looked up by their id.
CLOSE_MANY = """-- picks.reports
WITH locked AS MATERIALIZED (
  SELECT t.*, a.order_id, a.aisle
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::int[], $5::text[], $6::jsonb[], $7::int[], $8::text[],
                $9::jsonb[])
      AS t (assignment_id, robot_id, fence, sequence, outcome, picks, named, classes, off_sale)
    JOIN inventory.assignments a ON a.assignment_id = t.assignment_id
    JOIN inventory.orders o ON o.order_id = a.order_id
   WHERE o.state = 'ASSIGNED' AND a.state IS NOT DISTINCT FROM 'STARTED'
     AND a.robot_class = ANY (string_to_array(t.classes, ' '))
     AND a.holder IS NOT DISTINCT FROM t.robot_id AND a.fence IS NOT DISTINCT FROM t.fence
   ORDER BY a.order_id, a.assignment_id FOR NO KEY UPDATE OF o, a),
lines AS MATERIALIZED (
  SELECT k.*, s.sku, s.drawn, s.sellable_until, l.quantity, k.picks ? l.sku AS is_named,
         coalesce((k.picks ->> l.sku)::int, CASE WHEN k.outcome = 'PICKED' THEN l.quantity ELSE 0 END) AS picked
    FROM locked k
    JOIN inventory.order_lines l ON l.order_id = k.order_id AND l.aisle_type = k.aisle
    JOIN inventory.stock s ON s.sku = l.sku
   ORDER BY s.sku FOR NO KEY UPDATE OF s),
closing AS MATERIALIZED (
  SELECT order_id, assignment_id, outcome, sequence, sum(picked) AS units, bool_or(picked < quantity) AS is_short
    FROM lines GROUP BY order_id, assignment_id, outcome, sequence, named
  HAVING bool_and(picked <= quantity AND (off_sale IS NOT NULL OR sellable_until > clock_timestamp()))
     AND count(*) FILTER (WHERE is_named) = named),
counted AS MATERIALIZED (
  SELECT *, sum(quantity - left_on_shelf) OVER (PARTITION BY sku ORDER BY order_id ROWS UNBOUNDED PRECEDING)
              AS drawn_with_earlier
    FROM (SELECT *, CASE WHEN outcome = 'FAILED' THEN quantity - picked
                         ELSE coalesce((off_sale ->> sku)::int, 0) END AS left_on_shelf
            FROM lines WHERE (assignment_id IN (SELECT assignment_id FROM closing)) IS TRUE) l),
closed AS (
  UPDATE inventory.assignments a
     SET closed_at = now(), sequence = c.sequence,
         state = CASE WHEN c.outcome = 'PICKED' AND c.is_short THEN 'SHORT' ELSE c.outcome END
    FROM closing c WHERE a.order_id = c.order_id AND a.assignment_id = c.assignment_id),
moved AS (
  UPDATE inventory.stock s
     SET allocated = s.allocated - c.quantity, picked = s.picked + c.picked, on_hand = s.on_hand + c.left_on_shelf,
         drawn = s.drawn + c.quantity - c.left_on_shelf
    FROM (SELECT sku, sum(quantity) AS quantity, sum(picked) AS picked, sum(left_on_shelf) AS left_on_shelf
            FROM counted GROUP BY sku) c
   WHERE s.sku = c.sku),
written_off AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta)
  SELECT sku, assignment_id, 'shrink', picked + left_on_shelf - quantity
    FROM counted WHERE picked + left_on_shelf < quantity),
recorded AS (
  UPDATE inventory.order_lines o
     SET picked = c.picked, drawn_from = c.drawn + c.drawn_with_earlier - (c.quantity - c.left_on_shelf)
    FROM counted c WHERE o.order_id = c.order_id AND o.sku = c.sku),
ended AS (
  UPDATE inventory.orders o
     SET unfinished = o.unfinished - c.assignments, picked_units = o.picked_units + c.units,
         state = CASE WHEN o.unfinished > c.assignments THEN 'ASSIGNED'
                      WHEN o.picked_units + c.units > 0 THEN 'COMPLETED' ELSE 'FAILED' END,
         finished_at = CASE WHEN o.unfinished > c.assignments THEN NULL ELSE clock_timestamp() END
    FROM (SELECT order_id, count(*) AS assignments, sum(units) AS units FROM closing GROUP BY order_id) c
   WHERE o.order_id = c.order_id
  RETURNING o.order_id, o.state),
owed AS (
  INSERT INTO inventory.webhook_outbox (order_id, webhook_id)
  SELECT order_id, 'msg_' || replace(order_id::text, '-', '') FROM ended WHERE state <> 'ASSIGNED')
SELECT assignment_id, order_id, is_short AND outcome <> 'FAILED' AS is_short,
       (order_id IN (SELECT order_id FROM ended WHERE state <> 'ASSIGNED')) IS TRUE
         AND row_number() OVER (PARTITION BY order_id) = 1 AS finished
  FROM closing
"""
CLOSE = BatchStatement(CLOSE_MANY, (9,))


class ClosedAssignment(Struct, frozen=True):
    """An assignment closed by a report; `finished` if its order was closed by this batch of reports.

    `is_short` says that units were missing although the robot did not give up.
    """

    order_id: UUID
    finished: bool
    is_short: bool


async def close(
    db: Db | DbConnection, report: Report, classes: Collection[str], off_sale: Mapping[str, int] | None = None
) -> ClosedAssignment | None:
    """Close an assignment whose class is in `classes` (words without a space), under the lease that the report names.

    Returns None and changes nothing if there is no such lease, if the counts do not fit, or if some of the stock has
    expired or was recalled: then write off the lots and pass the units of each line left on the shelf as `off_sale`.
    """
    picks = msgspec.json.encode({pick.sku: pick.picked for pick in report.picks}).decode()
    rows = await db.run_batched(
        CLOSE,
        "picks.report",
        (
            report.assignment_id,
            report.robot_id,
            report.fence,
            report.sequence,
            report.outcome.value,
            picks,
            len(report.picks),
            " ".join(classes),
            None if off_sale is None else msgspec.json.encode(off_sale).decode(),
        ),
    )
    return ClosedAssignment(rows[0]["order_id"], rows[0]["finished"], rows[0]["is_short"]) if rows else None


# Locks in the same order as CLOSE_MANY: the register row and the assignment, then the stock by SKU.
LOCK = """-- picks.lock
WITH locked AS MATERIALIZED (
  SELECT a.order_id, a.aisle
    FROM inventory.assignments a JOIN inventory.orders o ON o.order_id = a.order_id
   WHERE a.assignment_id = $1 AND a.holder = $2 AND a.fence = $3 AND a.state = 'STARTED' AND o.state = 'ASSIGNED'
     FOR NO KEY UPDATE OF o, a)
SELECT s.sku
  FROM locked k JOIN inventory.order_lines l ON l.order_id = k.order_id AND l.aisle_type = k.aisle
  JOIN inventory.stock s ON s.sku = l.sku
 ORDER BY s.sku FOR NO KEY UPDATE OF s
"""


async def lock(tx: DbConnection, report: Report) -> tuple[str, ...]:
    """Lock the assignment leased as the report says, and its stock; return its SKUs, none if not so leased."""
    return tuple(row["sku"] for row in await tx.rows(LOCK, report.assignment_id, report.robot_id, report.fence))


# For each line of an assignment: the units of its SKU on the shelf, good and off sale (expired or recalled).
LINE_STOCK = """-- picks.shelf
SELECT l.sku, l.quantity, s.on_hand + s.held + s.allocated - off.units AS good, off.units AS off_sale
  FROM inventory.assignments a
  JOIN inventory.order_lines l ON l.order_id = a.order_id AND l.aisle_type = a.aisle
  JOIN inventory.stock s ON s.sku = l.sku
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(remaining), 0)::bigint AS units FROM inventory.lots t
     WHERE t.sku = l.sku AND remaining > 0 AND (expired_at IS NOT NULL OR recalled_at IS NOT NULL)) off
 WHERE a.assignment_id = $1 ORDER BY l.sku
"""


async def list_line_stock(tx: DbConnection, assignment_id: UUID) -> tuple[LineStock, ...]:
    """Return the stock for each line of an assignment whose stock is locked and whose lots are written off."""
    rows = await tx.rows(LINE_STOCK, assignment_id)
    return tuple(LineStock(row["sku"], row["quantity"], row["good"], row["off_sale"]) for row in rows)


# The state and the newest lease of an assignment.
LAST_LEASE = """-- picks.last
SELECT state, holder, fence, robot_class FROM inventory.assignments WHERE assignment_id = $1
"""


async def get_last_lease(db: Db, assignment_id: UUID) -> LastLease | None:
    """Return an assignment's newest lease; None if there is no such assignment."""
    row = await db.row(LAST_LEASE, assignment_id)
    if row is None:
        return None
    return LastLease(row["state"] in {"PICKED", "SHORT", "FAILED"}, row["holder"], row["fence"], row["robot_class"])


class CloseResult(Struct, frozen=True):
    """The closed assignment, None if the report does not fit; and the units written off."""

    closed: ClosedAssignment | None = None
    removals: tuple[LotRemoval, ...] = ()


async def close_with_write_off(db: Db, report: Report, classes: Collection[str]) -> CloseResult:
    """Close an assignment between two write-offs of its lots, in one transaction; no unit off sale is picked."""
    async with db.transaction() as tx:
        skus = await lock(tx, report)
        if not skus:
            return CloseResult()
        removals = await lots.write_off(tx, skus)
        sellable = exclude_off_sale(report, await list_line_stock(tx, report.assignment_id))
        closed = await close(tx, sellable.report, classes, sellable.off_sale)
        removals += await lots.write_off(tx, skus)
    return CloseResult(closed, removals)
