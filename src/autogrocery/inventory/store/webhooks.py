"""What the gateway is still to be told. A body is made once and kept: the same webhook id always carries the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.webhook import Picked, Robot, UpdateOrder

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg import Db

TABLE = "inventory.webhook_outbox"
KEY = ("order_id", "webhook_id")

ORDER = """-- webhooks.order
SELECT state, finished_at FROM inventory.orders WHERE order_id = $1 AND finished_at IS NOT NULL
"""
LINES = """-- webhooks.lines
SELECT sku, picked FROM inventory.order_lines WHERE order_id = $1 ORDER BY sku
"""
ROBOTS = """-- webhooks.robots
SELECT holder, robot_class, assignment_id FROM inventory.assignments WHERE order_id = $1 ORDER BY aisle
"""
NOTHING_PICKED = "nothing_picked"


async def finished(db: Db, order_id: UUID) -> UpdateOrder:
    """Return the last word on a finished order: every line's count, and the robots that picked."""
    async with db.connection() as connection:
        order = await connection.row(ORDER, order_id)
        lines = await connection.rows(LINES, order_id)
        robots = await connection.rows(ROBOTS, order_id)
    if order is None:
        raise LookupError("a webhook was owed for an order that is not finished")
    return UpdateOrder(
        order_id=order_id,
        status=order["state"],
        occurred_at=order["finished_at"],
        items=tuple(Picked(line["sku"], line["picked"]) for line in lines),
        robots=tuple(Robot(robot["holder"], robot["robot_class"], robot["assignment_id"]) for robot in robots),
        reason=NOTHING_PICKED if order["state"] == "FAILED" else None,
    )


FREEZE = """-- webhooks.freeze
UPDATE inventory.webhook_outbox SET body = coalesce(body, $3) WHERE order_id = $1 AND webhook_id = $2 RETURNING body
"""


async def freeze(db: Db, order_id: UUID, webhook_id: str, body: str) -> str:
    """Keep `body` for this webhook, unless one is kept already; return the one that is."""
    row = await db.row(FREEZE, order_id, webhook_id, body)
    if row is None:
        raise LookupError("the webhook is not in the outbox")
    return str(row["body"])
