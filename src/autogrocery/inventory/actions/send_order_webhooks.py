"""Send the webhooks about finished orders to the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.inventory.store import webhooks

if TYPE_CHECKING:
    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.pg.db import Db, Row


async def send_order_webhooks(db: Db, gateway: Gateway, row: Row) -> None:
    """Send the webhook of one outbox row. Raises Unavailable or InDoubt unless the gateway acknowledged it.

    The body is stored before the first attempt, so that every attempt sends the same bytes.
    """
    body = row["body"]
    if body is None:
        order = await webhooks.get_finished(db, row["order_id"])
        encoded = msgspec.json.encode(order).decode()
        body = await webhooks.keep_body(db, row["order_id"], row["webhook_id"], encoded)
    await gateway.update_order(row["webhook_id"], body)
