"""Send the receipt of a completed order: the delivery of one outbox row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.notifier.core.receipt import render_receipt
from autogrocery.notifier.core.receipt_mail import receipt_mail

if TYPE_CHECKING:
    from autogrocery.notifier.core.receipt import CompletedOrder
    from autogrocery.notifier.peers.mail import Mail


async def send_receipt(mail: Mail, order: CompletedOrder, email: str | None, store_id: str) -> str | None:
    """Send the order's receipt to its device's e-mail address. Sent twice, both mails are the same bytes.

    Returns None, or why nothing was sent. Raises Invalid if it can never be sent, Unavailable if it can be sent later.
    """
    if email is None:
        return "no_address"
    receipt = render_receipt(order, store_id)
    await mail.send(receipt_mail(email, receipt, name=str(order.order_id), at=order.finished_at, sender=mail.sender))
    return None
