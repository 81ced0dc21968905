"""The outbox of alerts: what a claimed row says, and the cap of alerts per device and day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.contracts.alerts import AlertEvent, AlertPreference
from autogrocery.notifier.core.alert import Alert

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Row

TABLE: Final = "alert_outbox"
KEY: Final = ("order_id", "event")
KEY_TYPES: Final = ("uuid", "text")

READ: Final = """
SELECT c.*, d.phone, d.alerts, o.currency, o.total_cents, l.units, l.picked
  FROM claimed c
  JOIN grocery_orders o ON o.order_id = c.order_id
  JOIN smart_devices d ON d.id = c.user_id
 CROSS JOIN LATERAL (
   SELECT coalesce(sum(l.quantity), 0)::int AS units, coalesce(sum(coalesce(s.picked, l.quantity)), 0)::int AS picked
     FROM order_lines l LEFT JOIN short_picks s ON s.order_id = l.order_id AND s.line_no = l.line_no
    WHERE l.order_id = c.order_id) l
"""


def claimed_alert(row: Row) -> Alert:
    """Return the alert of a claimed row."""
    return Alert(
        row["order_id"],
        AlertEvent(row["event"]),
        row["currency"],
        row["total_cents"],
        row["units"],
        row["picked"],
        row["phone"],
        AlertPreference(row["alerts"]),
    )


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
