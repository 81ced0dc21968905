"""Send the webhooks about the progress of restock orders to the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import restock_webhooks

if TYPE_CHECKING:
    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.pg.db import Db, Row


async def send_restock_webhooks(db: Db, gateway: Gateway, row: Row) -> None:
    """Send the webhook of one outbox row. Raises Unavailable or InDoubt unless the gateway acknowledged it.

    The body is stored before the first attempt, so that every attempt sends the same bytes.
    """
    body = row["body"] or await restock_webhooks.get_body(db, row["order_id"], row["webhook_id"])
    await gateway.update_restock(row["webhook_id"], body)
