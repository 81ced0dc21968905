"""Send the receipt of a completed order: the deed behind one outbox row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.receipt import receipt
from autogrocery.gateway.peers.mail import message
from autogrocery.gateway.store import orders, receipts

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.mail import Mail
    from autogrocery.kit.pg.db import Db


async def send_receipt(db: Db, mail: Mail, order_id: UUID, store_id: str) -> str | None:
    """Mail the order's receipt to its device's address, if it has one; sent twice it is the same mail by its Message-ID.

    Returns why there was nothing to send, else None. Raises Invalid for never, Unavailable for later.
    """
    order = await orders.get(db, order_id)
    address = await receipts.get_address(db, order_id)
    if order is None or address is None:
        return "no_address"
    mail_of_order = message(
        address, receipt(order, store_id), name=str(order_id), at=order.finished_at, sender=mail.sender
    )
    await mail.send(mail_of_order, str(order_id))
    return None
