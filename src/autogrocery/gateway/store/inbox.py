"""The inbox: webhook deliveries that were answered, so that a repeat gets the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.store.template import fill

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.order import WebhookDelivery
    from autogrocery.kit.pg.db import Db

REMEMBER = """
-- {point}
WITH made AS (
  INSERT INTO {table} (order_id, webhook_id, body_sha256) VALUES ($1, $2, $3)
  ON CONFLICT DO NOTHING RETURNING body_sha256)
SELECT body_sha256 FROM made UNION ALL
SELECT body_sha256 FROM {table} WHERE order_id = $1 AND webhook_id = $2
"""
REMEMBER_OF_ORDER = fill(REMEMBER, point="inbox.remember", table="webhook_inbox")
REMEMBER_OF_RESTOCK = fill(REMEMBER, point="restock_inbox.remember", table="restock_inbox")


async def remember(db: Db, order_id: UUID, delivery: WebhookDelivery) -> bool:
    """Store a delivery about an order that had ended already; False if its id came before with another body."""
    return await _remember(db, REMEMBER_OF_ORDER, order_id, delivery)


async def remember_of_restock(db: Db, order_id: UUID, delivery: WebhookDelivery) -> bool:
    """Store a delivery about a restock that had ended already; False if its id came before with another body."""
    return await _remember(db, REMEMBER_OF_RESTOCK, order_id, delivery)


async def _remember(db: Db, statement: str, order_id: UUID, delivery: WebhookDelivery) -> bool:
    row = await db.row(statement, order_id, delivery.webhook_id, delivery.body_sha256)
    return row is None or bytes(row["body_sha256"]) == delivery.body_sha256


GET_OF_RESTOCK = """
-- restock_inbox.get
SELECT body_sha256 FROM restock_inbox WHERE order_id = $1 AND webhook_id = $2
"""


async def get_of_restock(db: Db, order_id: UUID, webhook_id: str) -> bytes | None:
    """Return the SHA-256 of the body that came under this id about a restock; None if none did."""
    row = await db.row(GET_OF_RESTOCK, order_id, webhook_id)
    return bytes(row["body_sha256"]) if row else None
