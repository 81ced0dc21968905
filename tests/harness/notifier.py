"""The notifier's outboxes and mails, as its loops use them, on a test's database and mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from autogrocery.kit.messages.mail_address import parse_mail_address
from autogrocery.kit.messages.smtp_url import parse_smtp_url
from autogrocery.notifier.actions.send_alert import AlertLimits
from autogrocery.notifier.loops import alert_outbox, receipt_outbox
from autogrocery.notifier.peers.mail import FolderMail, SmtpMail

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.outbox import Outbox
    from autogrocery.notifier.peers.mail import Mail
    from autogrocery.notifier.peers.sms import Sms
    from tests.harness.gateway_actions import GatewayActions

SENDER: Final = parse_mail_address("receipts@autogrocery.invalid")
STORE: Final = "mart-test"


def mail_to(url: str, **options: Any) -> SmtpMail:
    """Return a Mail that sends to the SMTP server of a URL; `options` are those of SmtpMail."""
    return SmtpMail(parse_smtp_url(url), SENDER, **options)


def mail_into(folder: Path) -> FolderMail:
    """Return a Mail that writes files."""
    return FolderMail(folder, SENDER)


def receipts_of(db: Any, mail: Mail) -> Outbox:
    """Return the outbox of receipts of a database."""
    return receipt_outbox(db, mail, STORE)


def alerts_of(db: Any, sms: Sms, limits: AlertLimits | None = None) -> Outbox:
    """Return the outbox of alerts of a database."""
    return alert_outbox(db, sms, STORE, limits or AlertLimits())


async def end_orders(gateway: GatewayActions, count: int) -> list[UUID]:
    """Give the device an address and end orders of it, whose receipts so are due; return their ids."""
    await gateway.db.run("UPDATE smart_devices SET email = 'kitchen@home.example'")
    made = []
    for _ in range(count):
        order = await gateway.preview(milk=1)
        await gateway.confirm(order.order_id)
        await gateway.complete(order.order_id)
        made.append(order.order_id)
    return made
