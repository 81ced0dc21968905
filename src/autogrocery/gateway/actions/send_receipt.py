"""Send the receipt of a completed order: the delivery of one outbox row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.receipt import render_receipt
from autogrocery.gateway.peers.mail import receipt_mail
from autogrocery.gateway.store import orders, receipts

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.mail import Mail
    from autogrocery.kit.pg.db import Db


async def send_receipt(db: Db, mail: Mail, order_id: UUID, store_id: str) -> str | None:
    """Send the order's receipt to its device's e-mail address. Sent twice, both mails have the same Message-ID.

    Returns None, or why nothing was sent. Raises Invalid if it can never be sent, Unavailable if it can be sent later.
    """
    order = await orders.get(db, order_id)
    address = await receipts.get_address(db, order_id)
    if order is None or address is None:
        return "no_address"
    receipt = receipt_mail(
        address, render_receipt(order, store_id), name=str(order_id), at=order.finished_at, sender=mail.sender
    )
    await mail.send(receipt, str(order_id))
    return None
