"""Send the receipt of a completed order: the deed behind one outbox row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.receipt import receipt_text
from autogrocery.gateway.peers.mail import message
from autogrocery.gateway.store import orders, receipts

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.mail import Mail
    from autogrocery.kit.pg import Db


async def send_receipt(db: Db, mail: Mail, order_id: UUID, store_id: str) -> None:
    """Mail the order's receipt to its device's address, if it has one; sent twice it is the same mail by its Message-ID.

    Raises Invalid for never, Unavailable for later.
    """
    order = await orders.get(db, order_id)
    address = await receipts.get_address(db, order_id)
    if order is None or address is None:
        return
    subject = f"Your receipt, order {order_id}"
    text = receipt_text(order, store_id)
    await mail.send(message(address, subject, text, message_id=f"<{order_id}@autogrocery.invalid>"), str(order_id))
