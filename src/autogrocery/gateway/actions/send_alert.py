"""Send the alert of an order that ended: the deed behind one outbox row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.account import PHONE_PATTERN
from autogrocery.gateway.core.alert import WANTED, Occasion, QuietHours, alert_text
from autogrocery.gateway.store import alerts, orders
from autogrocery.kit.errors import Invalid
from autogrocery.kit.pg.outbox import NotBefore

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from autogrocery.gateway.peers.sms import Sms
    from autogrocery.kit.pg.db import Db


class Manners(Struct, frozen=True):
    """How much of this a telephone bears: quiet hours, if any, and so many alerts in 24 hours."""

    quiet: QuietHours | None = None
    cap_per_day: int = 5


async def send_alert(
    db: Db, sms: Sms, order_id: UUID, occasion: Occasion, *, store_id: str, manners: Manners, at: datetime
) -> str | None:
    """Tell the order's device at the instant `at`; sent twice it is the same alert by its key.

    Returns why nothing was sent, else None. Raises NotBefore in quiet hours, Invalid for never, Unavailable for later.
    """
    if manners.quiet and (left_s := manners.quiet.left_s(at)):
        raise NotBefore("quiet_hours", "nobody's telephone rings now", retry_after_s=left_s)
    addressee, order = await alerts.get_addressee(db, order_id, occasion), await orders.get(db, order_id)
    if addressee is None or order is None or addressee.phone is None:
        return "no_phone"
    if occasion not in WANTED[addressee.alerts]:
        return "opted_out"
    if not re.search(PHONE_PATTERN, addressee.phone):
        raise Invalid("bad_phone", "the registry's telephone number is none")
    if not await alerts.admit(db, order_id, occasion, manners.cap_per_day):
        return "capped"
    return await sms.send(addressee.phone, alert_text(order, occasion, store_id), key=f"{order_id}-{occasion.lower()}")
