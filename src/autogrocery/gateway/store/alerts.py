"""The outbox of alerts: recipients, and the cap of alerts per device and day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.alert import AlertEvent, AlertPreference

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class AlertRecipient(Struct, frozen=True):
    """The telephone number and preference of the device that an alert is for, as the registry has them now."""

    phone: str | None
    alerts: AlertPreference


GET_RECIPIENT = """
-- alerts.get_recipient
SELECT d.phone, d.alerts FROM alert_outbox a JOIN smart_devices d ON d.id = a.user_id
 WHERE a.order_id = $1 AND a.event = $2
"""


async def get_recipient(db: Db, order_id: UUID, event: AlertEvent) -> AlertRecipient | None:
    """Return the recipient of an alert, None if there is no such alert."""
    row = await db.row(GET_RECIPIENT, order_id, event)
    return AlertRecipient(row["phone"], AlertPreference(row["alerts"])) if row else None


# The lock is a statement of its own, so that the next statement's snapshot sees what earlier holders of the lock
# counted.
LOCK_DEVICE = """
-- alerts.lock_device
SELECT d.id FROM smart_devices d JOIN alert_outbox a ON a.user_id = d.id
 WHERE a.order_id = $1 AND a.event = $2 FOR NO KEY UPDATE OF d
"""
ADMIT = """
-- alerts.admit
UPDATE alert_outbox a SET admitted_at = coalesce(admitted_at, now())
 WHERE order_id = $1 AND event = $2
   AND (admitted_at IS NOT NULL
        OR (SELECT count(*) FROM alert_outbox o
             WHERE o.user_id = a.user_id AND o.admitted_at > now() - interval '1 day') < $3)
"""


async def admit(db: Db, order_id: UUID, event: AlertEvent, cap: int) -> bool:
    """Count an alert, once, against its device's cap for 24 hours; False if `cap` alerts were counted already."""
    async with db.transaction() as tx:
        await tx.rows(LOCK_DEVICE, order_id, event)
        return await tx.run(ADMIT, order_id, event, cap) == 1
