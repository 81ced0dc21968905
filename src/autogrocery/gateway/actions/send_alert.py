"""Send the SMS alert of an order that ended: the delivery of one outbox row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.account import PHONE_PATTERN
from autogrocery.gateway.core.alert import EVENTS_BY_PREFERENCE, AlertEvent, QuietHours, alert_text
from autogrocery.gateway.store import alerts, orders
from autogrocery.kit.errors import Invalid
from autogrocery.kit.pg.outbox import NotBefore

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from autogrocery.gateway.peers.sms import Sms
    from autogrocery.kit.pg.db import Db


class AlertLimits(Struct, frozen=True):
    """When and how often a device gets alerts: quiet hours, if any, and a cap for 24 hours."""

    quiet: QuietHours | None = None
    cap_per_day: int = 5


async def send_alert(
    db: Db, sms: Sms, order_id: UUID, event: AlertEvent, *, store_id: str, limits: AlertLimits, at: datetime
) -> str | None:
    """Send the alert to the order's device; `at` is the current time. Sent twice, both have the same idempotency key.

    Returns None, or why nothing was sent. Raises NotBefore in quiet hours, Invalid if it can never be sent, Unavailable
    if it can be sent later.
    """
    if limits.quiet and (remaining_s := limits.quiet.remaining_s(at)):
        raise NotBefore("quiet_hours", "no alerts are sent in quiet hours", retry_after_s=remaining_s)
    recipient, order = await alerts.get_recipient(db, order_id, event), await orders.get(db, order_id)
    if recipient is None or order is None or recipient.phone is None:
        return "no_phone"
    if event not in EVENTS_BY_PREFERENCE[recipient.alerts]:
        return "opted_out"
    if not re.search(PHONE_PATTERN, recipient.phone):
        raise Invalid("bad_phone", "the registry's telephone number is malformed")
    if not await alerts.admit(db, order_id, event, limits.cap_per_day):
        return "capped"
    return await sms.send(recipient.phone, alert_text(order, event, store_id), key=f"{order_id}-{event.lower()}")
