"""Alerts: whether one may be sent, and to which number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.alert import Alerts, Occasion

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class Addressee(Struct, frozen=True):
    """Whom an alert is for, as the registry has it now."""

    phone: str | None
    alerts: Alerts


GET_ADDRESSEE = """
-- alerts.get_addressee
SELECT d.phone, d.alerts FROM alert_outbox a JOIN smart_devices d ON d.id = a.user_id WHERE a.order_id = $1 AND a.event = $2
"""


async def get_addressee(db: Db, order_id: UUID, occasion: Occasion) -> Addressee | None:
    """Return whom an alert is for, None if there is no such alert."""
    row = await db.row(GET_ADDRESSEE, order_id, occasion)
    return Addressee(row["phone"], Alerts(row["alerts"])) if row else None


# The lock is a statement of its own: what comes after it sees what others have counted before they let go.
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
        OR (SELECT count(*) FROM alert_outbox o WHERE o.user_id = a.user_id AND o.admitted_at > now() - interval '1 day') < $3)
"""


async def admit(db: Db, order_id: UUID, occasion: Occasion, cap: int) -> bool:
    """Count an alert, once, against its device's last 24 hours; False if `cap` of them have been counted already."""
    async with db.transaction() as tx:
        await tx.rows(LOCK_DEVICE, order_id, occasion)
        return await tx.run(ADMIT, order_id, occasion, cap) == 1
