"""What the gateway is still to be told of deliveries. Reports that follow each other closely share a webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.contracts.webhook import Received, UpdateRestock

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Statements

TABLE = "inventory.restock_webhooks"

# At most one webhook of a delivery has no body yet: it takes in all that is reported before its first attempt. The
# delivery's row is locked, so ids count up.
OWE = """-- restock_webhooks.owe
INSERT INTO inventory.restock_webhooks AS w (order_id, webhook_id, next_attempt_at)
SELECT $1::uuid, 'msg_' || replace($1::text, '-', '') || '_' || 1 + count(*), now() + $2::float8 * interval '1 second'
  FROM inventory.restock_webhooks WHERE order_id = $1
ON CONFLICT (order_id) WHERE body IS NULL
DO UPDATE SET next_attempt_at = least(w.next_attempt_at, excluded.next_attempt_at)
"""


async def owe(tx: Statements, order_id: UUID, *, in_s: float) -> None:
    """Owe the gateway a webhook about a delivery whose row is locked, to be sent in `in_s` seconds or before."""
    await tx.run(OWE, order_id, in_s)


KEPT = """-- restock_webhooks.kept
SELECT r.state, r.reported_at, w.body
  FROM inventory.restocks r JOIN inventory.restock_webhooks w ON w.order_id = r.order_id
 WHERE w.order_id = $1 AND w.webhook_id = $2 FOR NO KEY UPDATE OF r, w
"""
LINES = """-- restock_webhooks.lines
SELECT sku, received, damaged FROM inventory.restock_lines WHERE order_id = $1 ORDER BY sku
"""
KEEP = """-- restock_webhooks.keep
UPDATE inventory.restock_webhooks SET body = $3 WHERE order_id = $1 AND webhook_id = $2 AND body IS NULL
"""


async def body(db: Db, order_id: UUID, webhook_id: str) -> str:
    """Return a webhook's body, made at the first asking of what is known then, and kept.

    The delivery's row is locked meanwhile: a report is either in the totals or owes a webhook of its own.
    """
    async with db.transaction() as tx:
        row = await tx.row(KEPT, order_id, webhook_id)
        if row is None:
            raise LookupError("the webhook is not in the outbox")
        if row["body"] is not None:
            return str(row["body"])
        lines = await tx.rows(LINES, order_id)
        update = UpdateRestock(
            order_id=order_id,
            status=row["state"],
            items=tuple(Received(line["sku"], line["received"], line["damaged"]) for line in lines),
            occurred_at=row["reported_at"],
        )
        made = msgspec.json.encode(update).decode()
        await tx.run(KEEP, order_id, webhook_id, made)
    return made
