"""The outbox of webhooks about restock orders. Reports that follow each other closely share a webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.contracts.webhook import Received, UpdateRestock

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, DbConnection

TABLE = "inventory.restock_webhooks"

# Adds a webhook, or brings forward the one without a body: at most one webhook of a restock order has none, and it
# covers all that is reported before its first attempt. Webhook ids are numbered; the lock on the restock order's row
# keeps them unique.
ENQUEUE = """-- restock_webhooks.owe
INSERT INTO inventory.restock_webhooks AS w (order_id, webhook_id, next_attempt_at)
SELECT $1::uuid, 'msg_' || replace($1::text, '-', '') || '_' || 1 + count(*), now() + $2::float8 * interval '1 second'
  FROM inventory.restock_webhooks WHERE order_id = $1
ON CONFLICT (order_id) WHERE body IS NULL
DO UPDATE SET next_attempt_at = least(w.next_attempt_at, excluded.next_attempt_at)
"""


async def enqueue(tx: DbConnection, order_id: UUID, *, in_s: float) -> None:
    """Add a webhook about a restock order whose row is locked to the outbox, to be sent within `in_s` seconds."""
    await tx.run(ENQUEUE, order_id, in_s)


# Locks a webhook and its restock order, and returns the stored body.
LOCK = """-- restock_webhooks.kept
SELECT r.state, r.reported_at, w.body
  FROM inventory.restocks r JOIN inventory.restock_webhooks w ON w.order_id = r.order_id
 WHERE w.order_id = $1 AND w.webhook_id = $2 FOR NO KEY UPDATE OF r, w
"""
# The totals of a restock order's lines.
LINES = """-- restock_webhooks.lines
SELECT sku, received, damaged FROM inventory.restock_lines WHERE order_id = $1 ORDER BY sku
"""
# Stores a webhook's body, once.
KEEP_BODY = """-- restock_webhooks.keep
UPDATE inventory.restock_webhooks SET body = $3 WHERE order_id = $1 AND webhook_id = $2 AND body IS NULL
"""


async def get_body(db: Db, order_id: UUID, webhook_id: str) -> str:
    """Return a webhook's body. The first call makes it of the totals at that moment and stores it.

    The restock order's row is locked meanwhile, so that a report is either in these totals or adds a webhook of its
    own.
    """
    async with db.transaction() as tx:
        row = await tx.row(LOCK, order_id, webhook_id)
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
        encoded = msgspec.json.encode(update).decode()
        await tx.run(KEEP_BODY, order_id, webhook_id, encoded)
    return encoded
