"""Webhooks that were answered, so that a repeated delivery gets the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.store.moves import Delivery
    from autogrocery.kit.pg import Db

REMEMBER = """
-- inbox.remember
WITH made AS (
  INSERT INTO webhook_inbox (order_id, webhook_id, body_sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING body_sha256)
SELECT body_sha256 FROM made UNION ALL
SELECT body_sha256 FROM webhook_inbox WHERE order_id = $1 AND webhook_id = $2
"""


async def remember(db: Db, order_id: UUID, delivery: Delivery) -> bool:
    """Remember a delivery about an order that had finished already; False if its id came before with another body."""
    row = await db.row(REMEMBER, order_id, delivery.webhook_id, delivery.body_sha256)
    return row is None or row["body_sha256"] == delivery.body_sha256
