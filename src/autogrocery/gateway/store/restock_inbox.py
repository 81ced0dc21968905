"""Webhooks about restocks that were answered, so that a repeated delivery gets the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.store.moves import Delivery
    from autogrocery.kit.pg import Db

GET = """
-- restock_inbox.get
SELECT body_sha256 FROM restock_inbox WHERE order_id = $1 AND webhook_id = $2
"""


async def get(db: Db, order_id: UUID, webhook_id: str) -> bytes | None:
    """Return the SHA-256 of the body that came under this id; None if none did."""
    row = await db.row(GET, order_id, webhook_id)
    return bytes(row["body_sha256"]) if row else None


REMEMBER = """
-- restock_inbox.remember
WITH made AS (
  INSERT INTO restock_inbox (order_id, webhook_id, body_sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING body_sha256)
SELECT body_sha256 FROM made UNION ALL
SELECT body_sha256 FROM restock_inbox WHERE order_id = $1 AND webhook_id = $2
"""


async def remember(db: Db, order_id: UUID, delivery: Delivery) -> bool:
    """Remember a delivery about a restock that had ended already; False if its id came before with another body."""
    row = await db.row(REMEMBER, order_id, delivery.webhook_id, delivery.body_sha256)
    return row is None or bytes(row["body_sha256"]) == delivery.body_sha256
