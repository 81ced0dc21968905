"""What robots report, and the end of an order that follows from the last report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autogrocery.inventory.core.lots import Shelf
from autogrocery.inventory.core.picking import Last
from autogrocery.kit.pg.batch import Many

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from autogrocery.inventory.core.picking import Report
    from autogrocery.kit.pg.db import Db, Statements

# Closes assignments, moves their stock, and with the last one of an order closes the order and owes the gateway a webhook.
# What was not picked is missing from the shelf (written off in the ledger) unless the robot gave up: then it still lies there.
# Register rows and assignments are locked in the order of their ids, then the stock of the whole batch by SKU. `unfinished`
# is counted down on the locked register row: two last reports at once can't both believe another is open.
# Each unit that left the shelf has the next number of its SKU, by which the lots are told apart later (0003_lots.sql). Stock
# beyond its `sellable_until` is not touched unless `off_sale` says how much of each line was left lying for that.
# IS NOT DISTINCT FROM is = that no partial index serves: the way to an assignment is its id.
REPORT_MANY = """-- picks.reports
WITH locked AS MATERIALIZED (
  SELECT t.*, a.order_id, a.aisle
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::int[], $5::text[], $6::jsonb[], $7::int[], $8::text[], $9::jsonb[])
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
  SELECT *, sum(quantity - left_lying) OVER (PARTITION BY sku ORDER BY order_id ROWS UNBOUNDED PRECEDING) AS drawn_with_earlier
    FROM (SELECT *, CASE WHEN outcome = 'FAILED' THEN quantity - picked ELSE coalesce((off_sale ->> sku)::int, 0) END AS left_lying
            FROM lines WHERE (assignment_id IN (SELECT assignment_id FROM closing)) IS TRUE) l),
closed AS (
  UPDATE inventory.assignments a
     SET closed_at = now(), sequence = c.sequence,
         state = CASE WHEN c.outcome = 'PICKED' AND c.is_short THEN 'SHORT' ELSE c.outcome END
    FROM closing c WHERE a.order_id = c.order_id AND a.assignment_id = c.assignment_id),
moved AS (
  UPDATE inventory.stock s
     SET allocated = s.allocated - c.quantity, picked = s.picked + c.picked, on_hand = s.on_hand + c.left_lying,
         drawn = s.drawn + c.quantity - c.left_lying
    FROM (SELECT sku, sum(quantity) AS quantity, sum(picked) AS picked, sum(left_lying) AS left_lying
            FROM counted GROUP BY sku) c
   WHERE s.sku = c.sku),
written_off AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta)
  SELECT sku, assignment_id, 'shrink', picked + left_lying - quantity FROM counted WHERE picked + left_lying < quantity),
told AS (
  UPDATE inventory.order_lines o SET picked = c.picked, drawn_from = c.drawn + c.drawn_with_earlier - (c.quantity - c.left_lying)
    FROM counted c WHERE o.order_id = c.order_id AND o.sku = c.sku),
ended AS (
  UPDATE inventory.orders o
     SET unfinished = o.unfinished - c.assignments, picked_units = o.picked_units + c.units,
         state = CASE WHEN o.unfinished > c.assignments THEN 'ASSIGNED' WHEN o.picked_units + c.units > 0 THEN 'COMPLETED'
                      ELSE 'FAILED' END,
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
REPORT = Many(REPORT_MANY, (9,))


class Closed(Struct, frozen=True):
    """An assignment that a report closed, whether its order was `finished` by it, or by another of the same moment.

    `is_short` says that not all was there, though the robot did its work.
    """

    order_id: UUID
    finished: bool
    is_short: bool


async def report(
    db: Db | Statements, told: Report, classes: Collection[str], off_sale: Mapping[str, int] | None = None
) -> Closed | None:
    """Close the assignment, of one of `classes` (words without a blank), under the lease that the report names.

    None, and nothing changes, if there is none such, or if it counts what is not there; also if some of it is sellable no
    longer: then settle the lots, and say how much of each line was `off_sale` and left lying.
    """
    picks = msgspec.json.encode({pick.sku: pick.picked for pick in told.picks}).decode()
    rows = await db.together(
        REPORT,
        "picks.report",
        (
            told.assignment_id,
            told.robot_id,
            told.fence,
            told.sequence,
            told.outcome.value,
            picks,
            len(told.picks),
            " ".join(classes),
            None if off_sale is None else msgspec.json.encode(off_sale).decode(),
        ),
    )
    return Closed(rows[0]["order_id"], rows[0]["finished"], rows[0]["is_short"]) if rows else None


# As a report locks them: the register row and the assignment, then the stock by SKU.
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


async def lock(tx: Statements, told: Report) -> tuple[str, ...]:
    """Lock an assignment under the lease the report names, and the stock it is of; its SKUs, or none if it is not so leased."""
    return tuple(row["sku"] for row in await tx.rows(LOCK, told.assignment_id, told.robot_id, told.fence))


SHELF = """-- picks.shelf
SELECT l.sku, l.quantity, s.on_hand + s.held + s.allocated - off.units AS good, off.units AS off_sale
  FROM inventory.assignments a
  JOIN inventory.order_lines l ON l.order_id = a.order_id AND l.aisle_type = a.aisle
  JOIN inventory.stock s ON s.sku = l.sku
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(remaining), 0)::bigint AS units FROM inventory.lots t
     WHERE t.sku = l.sku AND remaining > 0 AND (expired_at IS NOT NULL OR recalled_at IS NOT NULL)) off
 WHERE a.assignment_id = $1 ORDER BY l.sku
"""


async def shelf(tx: Statements, assignment_id: UUID) -> tuple[Shelf, ...]:
    """Return what there is for an assignment whose stock is locked and whose lots are settled."""
    rows = await tx.rows(SHELF, assignment_id)
    return tuple(Shelf(row["sku"], row["quantity"], row["good"], row["off_sale"]) for row in rows)


LAST = """-- picks.last
SELECT state, holder, fence, robot_class FROM inventory.assignments WHERE assignment_id = $1
"""


async def last(db: Db, assignment_id: UUID) -> Last | None:
    """Return an assignment's last lease; None if there is no such assignment."""
    row = await db.row(LAST, assignment_id)
    if row is None:
        return None
    return Last(row["state"] in {"PICKED", "SHORT", "FAILED"}, row["holder"], row["fence"], row["robot_class"])
