"""What robots report, and the end of an order that follows from the last report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.core.picking import Report
    from autogrocery.kit.pg import Db

# Closes an assignment, moves its stock, and with the last one of the order closes the order and owes the gateway a webhook.
# What was not picked is missing from the shelf (written off in the ledger) unless the robot gave up: then it still lies there.
# `unfinished` is counted down on the locked register row: two last reports at once can't both believe another is open.
REPORT = """-- picks.report
WITH locked AS MATERIALIZED (
  SELECT order_id FROM inventory.orders
   WHERE order_id = (SELECT order_id FROM inventory.assignments WHERE assignment_id = $1) AND state = 'ASSIGNED'
     FOR NO KEY UPDATE),
lines AS MATERIALIZED (
  SELECT l.order_id, l.sku, l.quantity,
         coalesce(p.picked, CASE WHEN $5 = 'PICKED' THEN l.quantity ELSE 0 END) AS picked
    FROM inventory.assignments a JOIN inventory.order_lines l ON l.order_id = a.order_id AND l.aisle_type = a.aisle
    LEFT JOIN unnest($6::text[], $7::int[]) AS p (sku, picked) ON p.sku = l.sku
   WHERE a.assignment_id = $1),
possible AS (
  SELECT (SELECT bool_and(picked <= quantity) FROM lines)
     AND NOT EXISTS (SELECT FROM unnest($6::text[]) AS p (sku) WHERE p.sku NOT IN (SELECT sku FROM lines)) AS yes),
closed AS (
  UPDATE inventory.assignments a
     SET closed_at = now(), sequence = $4,
         state = CASE WHEN $5 = 'PICKED' AND EXISTS (SELECT FROM lines WHERE picked < quantity) THEN 'SHORT' ELSE $5 END
    FROM locked, possible
   WHERE a.order_id = locked.order_id AND a.assignment_id = $1 AND a.state = 'STARTED'
     AND a.holder = $2 AND a.fence = $3 AND possible.yes
  RETURNING a.order_id, a.assignment_id),
shelf AS (
  SELECT sku FROM inventory.stock
   WHERE sku = ANY (ARRAY (SELECT l.sku FROM lines l, closed)) ORDER BY sku FOR NO KEY UPDATE),
moved AS (
  UPDATE inventory.stock s
     SET allocated = s.allocated - l.quantity, picked = s.picked + l.picked,
         on_hand = s.on_hand + CASE WHEN $5 = 'FAILED' THEN l.quantity - l.picked ELSE 0 END
    FROM lines l, closed WHERE s.sku = l.sku AND (SELECT count(*) FROM shelf) > 0),
written_off AS (
  INSERT INTO inventory.ledger (sku, ref, cause, delta)
  SELECT l.sku, c.assignment_id, 'shrink', l.picked - l.quantity FROM lines l, closed c
   WHERE l.picked < l.quantity AND $5 <> 'FAILED'),
counted AS (
  UPDATE inventory.order_lines o SET picked = l.picked
    FROM lines l, closed c WHERE o.order_id = c.order_id AND o.sku = l.sku),
total AS (SELECT sum(picked) AS units FROM lines),
ended AS (
  UPDATE inventory.orders o
     SET unfinished = o.unfinished - 1, picked_units = o.picked_units + total.units,
         state = CASE WHEN o.unfinished > 1 THEN 'ASSIGNED' WHEN o.picked_units + total.units > 0 THEN 'COMPLETED'
                      ELSE 'FAILED' END,
         finished_at = CASE WHEN o.unfinished > 1 THEN NULL ELSE clock_timestamp() END
    FROM closed, total WHERE o.order_id = closed.order_id AND (SELECT count(*) FROM shelf) > 0
  RETURNING o.order_id, o.state),
owed AS (
  INSERT INTO inventory.webhook_outbox (order_id, webhook_id)
  SELECT order_id, 'msg_' || replace(order_id::text, '-', '') FROM ended WHERE state <> 'ASSIGNED')
SELECT possible.yes AS possible, EXISTS (SELECT FROM closed) AS accepted,
       (SELECT state FROM ended) AS state, (SELECT order_id FROM ended) AS order_id
  FROM possible
"""


class Closed(Struct, frozen=True):
    """What a report did: `possible` is False if it counts what the assignment does not have."""

    possible: bool
    accepted: bool
    order_id: UUID | None
    finished: bool


async def report(db: Db, told: Report) -> Closed:
    """Close the assignment under the lease the report names, or change nothing."""
    skus, counts = [pick.sku for pick in told.picks], [pick.picked for pick in told.picks]
    row = await db.row(
        REPORT, told.assignment_id, told.robot_id, told.fence, told.sequence, told.outcome.value, skus, counts
    )
    if row is None:
        raise LookupError("the report had no answer")
    ended = row["state"] in {"COMPLETED", "FAILED"}
    return Closed(possible=row["possible"] is not False, accepted=row["accepted"], order_id=row["order_id"],
                  finished=ended)  # fmt: skip


LAST = """-- picks.last
SELECT state, holder, fence FROM inventory.assignments WHERE assignment_id = $1
"""


class Last(Struct, frozen=True):
    """The lease an assignment was last given, and whether it has been reported on under it."""

    reported: bool
    holder: str | None
    fence: int | None


async def last(db: Db, assignment_id: UUID) -> Last | None:
    """Return an assignment's last lease; None if there is no such assignment."""
    row = await db.row(LAST, assignment_id)
    if row is None:
        return None
    return Last(row["state"] in {"PICKED", "SHORT", "FAILED"}, row["holder"], row["fence"])
