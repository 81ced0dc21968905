"""Tell the gateway how far a delivery has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import restock_webhooks

if TYPE_CHECKING:
    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.pg.db import Db, Row


async def tell_of_restock(db: Db, gateway: Gateway, owed: Row) -> None:
    """Deliver one webhook of the outbox; raises Unavailable or InDoubt unless the gateway acknowledged it.

    The bytes are kept before they are first sent: however often it is told, the gateway hears the same.
    """
    body = owed["body"] or await restock_webhooks.body(db, owed["order_id"], owed["webhook_id"])
    await gateway.update_restock(owed["webhook_id"], body)
