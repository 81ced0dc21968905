"""What the gateway is still to be told. A body is made once and kept: the same webhook id always carries the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.webhook import Picked, Robot, UpdateOrder
from autogrocery.kit.pg.batch import Many

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

TABLE = "inventory.webhook_outbox"
KEY = ("order_id", "webhook_id")
KEY_TYPES = ("uuid", "text")

# LIMIT says to any planner, whenever it plans, that the rows are looked up one by one.
FINISHED_MANY = """-- webhooks.finished
SELECT o.order_id, o.state, o.finished_at, l.skus, l.picked, a.holders, a.classes, a.assignment_ids
  FROM unnest($1::uuid[]) AS q (order_id)
 CROSS JOIN LATERAL (SELECT order_id, state, finished_at FROM inventory.orders WHERE order_id = q.order_id LIMIT 1) o
 CROSS JOIN LATERAL (
    SELECT array_agg(sku ORDER BY sku) AS skus, array_agg(picked ORDER BY sku) AS picked
      FROM inventory.order_lines WHERE order_id = q.order_id) l
 CROSS JOIN LATERAL (
    SELECT array_agg(holder ORDER BY aisle) AS holders, array_agg(robot_class ORDER BY aisle) AS classes,
           array_agg(assignment_id ORDER BY aisle) AS assignment_ids
      FROM inventory.assignments WHERE order_id = q.order_id) a
 WHERE o.finished_at IS NOT NULL
"""
FINISHED = Many(FINISHED_MANY, (1,))
NOTHING_PICKED = "nothing_picked"


async def finished(db: Db, order_id: UUID) -> UpdateOrder:
    """Return the last word on a finished order: every line's count, and the robots that picked."""
    rows = await db.together(FINISHED, "webhooks.order", (order_id,))
    if not rows:
        raise LookupError("a webhook was owed for an order that is not finished")
    order = rows[0]
    return UpdateOrder(
        order_id=order_id,
        status=order["state"],
        occurred_at=order["finished_at"],
        items=tuple(map(Picked, order["skus"], order["picked"])),
        robots=tuple(map(Robot, order["holders"], order["classes"], order["assignment_ids"])),
        reason=NOTHING_PICKED if order["state"] == "FAILED" else None,
    )


FREEZE_MANY = """-- webhooks.frozen
WITH made AS (
  SELECT w.order_id, w.webhook_id, a.body
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS a (order_id, webhook_id, body)
    JOIN inventory.webhook_outbox w ON w.order_id = a.order_id AND w.webhook_id = a.webhook_id
   ORDER BY w.order_id FOR NO KEY UPDATE OF w)
UPDATE inventory.webhook_outbox w SET body = coalesce(w.body, made.body)
  FROM made WHERE w.order_id = made.order_id AND w.webhook_id = made.webhook_id RETURNING w.order_id, w.body
"""
FREEZE = Many(FREEZE_MANY, (3,))


async def freeze(db: Db, order_id: UUID, webhook_id: str, body: str) -> str:
    """Keep `body` for this webhook, unless one is kept already; return the one that is."""
    rows = await db.together(FREEZE, "webhooks.freeze", (order_id, webhook_id, body))
    if not rows:
        raise LookupError("the webhook is not in the outbox")
    return str(rows[0]["body"])
