"""Send the SMS alert of an order that ended: the delivery of one outbox row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.alerts import PHONE_PATTERN
from autogrocery.kit.errors import Invalid
from autogrocery.kit.pg.outbox import NotBefore
from autogrocery.notifier.core.alert import EVENTS_BY_PREFERENCE, alert_text
from autogrocery.notifier.store import alerts

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.kit.messages.quiet_hours import QuietHours
    from autogrocery.kit.pg.db import Db
    from autogrocery.notifier.core.alert import Alert
    from autogrocery.notifier.peers.sms import Sms


class AlertLimits(Struct, frozen=True):
    """When and how often a device gets alerts: quiet hours, if any, and a cap for 24 hours."""

    quiet: QuietHours | None = None
    cap_per_day: int = 5


async def send_alert(db: Db, sms: Sms, alert: Alert, *, store_id: str, limits: AlertLimits, at: datetime) -> str | None:
    """Send the alert to the order's device; `at` is the current time. Sent twice, both have the same idempotency key.

    Returns None, or why nothing was sent. Raises NotBefore in quiet hours, Invalid if it can never be sent, Unavailable
    if it can be sent later.
    """
    if limits.quiet and (remaining_s := limits.quiet.remaining_s(at)):
        raise NotBefore("quiet_hours", "no alerts are sent in quiet hours", retry_after_s=remaining_s)
    if alert.phone is None:
        return "no_phone"
    if alert.event not in EVENTS_BY_PREFERENCE[alert.preference]:
        return "opted_out"
    if not re.search(PHONE_PATTERN, alert.phone):
        raise Invalid("bad_phone", "the registry's telephone number is malformed")
    if not await alerts.admit(db, alert.order_id, alert.event, limits.cap_per_day):
        return "capped"
    return await sms.send(alert.phone, alert_text(alert, store_id), key=alert.key)
