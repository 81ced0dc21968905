"""Tell the gateway that an order is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.inventory.store import webhooks

if TYPE_CHECKING:
    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.pg.db import Db, Row


async def tell_gateway(db: Db, gateway: Gateway, owed: Row) -> None:
    """Deliver one webhook of the outbox; raises Unavailable or InDoubt unless the gateway acknowledged it.

    The bytes are kept before they are first sent: however often it is told, the gateway hears the same.
    """
    body = owed["body"]
    if body is None:
        order = await webhooks.finished(db, owed["order_id"])
        made = msgspec.json.encode(order).decode()
        body = await webhooks.freeze(db, owed["order_id"], owed["webhook_id"], made)
    await gateway.update_order(owed["webhook_id"], body)
