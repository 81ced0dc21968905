"""The outbox of webhooks about finished orders. A body is stored once: a webhook id always has the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.webhook import Picked, Robot, UpdateOrder
from autogrocery.kit.pg.batch import BatchStatement

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

TABLE = "inventory.webhook_outbox"
KEY = ("order_id", "webhook_id")
KEY_TYPES = ("uuid", "text")

# Finished orders with their lines and robots. LIMIT makes the planner look rows up one by one, with any statistics.
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
FINISHED = BatchStatement(FINISHED_MANY, (1,))
NOTHING_PICKED = "nothing_picked"


async def get_finished(db: Db, order_id: UUID) -> UpdateOrder:
    """Return the webhook of a finished order: the picked units of every line, and the robots."""
    rows = await db.run_batched(FINISHED, "webhooks.order", (order_id,))
    if not rows:
        raise LookupError("the outbox has a webhook for an order that is not finished")
    order = rows[0]
    return UpdateOrder(
        order_id=order_id,
        status=order["state"],
        occurred_at=order["finished_at"],
        items=tuple(map(Picked, order["skus"], order["picked"])),
        robots=tuple(map(Robot, order["holders"], order["classes"], order["assignment_ids"])),
        reason=NOTHING_PICKED if order["state"] == "FAILED" else None,
    )


# Stores the bodies of a batch of webhooks, unless they have one; returns the stored bodies.
KEEP_BODY_MANY = """-- webhooks.frozen
WITH made AS (
  SELECT w.order_id, w.webhook_id, a.body
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS a (order_id, webhook_id, body)
    JOIN inventory.webhook_outbox w ON w.order_id = a.order_id AND w.webhook_id = a.webhook_id
   ORDER BY w.order_id FOR NO KEY UPDATE OF w)
UPDATE inventory.webhook_outbox w SET body = coalesce(w.body, made.body)
  FROM made WHERE w.order_id = made.order_id AND w.webhook_id = made.webhook_id RETURNING w.order_id, w.body
"""
KEEP_BODY = BatchStatement(KEEP_BODY_MANY, (3,))


async def keep_body(db: Db, order_id: UUID, webhook_id: str, body: str) -> str:
    """Store `body` for a webhook, unless it has one; return the stored body."""
    rows = await db.run_batched(KEEP_BODY, "webhooks.freeze", (order_id, webhook_id, body))
    if not rows:
        raise LookupError("the webhook is not in the outbox")
    return str(rows[0]["body"])
