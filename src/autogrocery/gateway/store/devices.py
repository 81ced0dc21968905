"""The registry of accounts, table smart_devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType

from autogrocery.contracts.alerts import AlertPreference
from autogrocery.gateway.core.account import Account, Kind

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db, Row

COLUMNS = (
    "id, device_id, password, kind, robot_class, scopes, email, phone, disabled_at IS NOT NULL AS disabled,"
    " supplier_id, supplier_name, alerts"
)

ADD = """
-- devices.add
INSERT INTO smart_devices (device_id, password, email, phone, kind, robot_class, supplier_id, supplier_name)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (device_id) DO NOTHING RETURNING id
"""


async def add(
    db: Db,
    device_id: str,
    password: str,
    kind: Kind,
    *,
    email: str | None = None,
    phone: str | None = None,
    robot_class: str | None = None,
    supplier_id: str | None = None,
    supplier_name: str | None = None,
) -> int | None:
    """Add an account; `password` is the bcrypt hash. Returns its user id, None if the device id is taken."""
    row = await db.row(ADD, device_id, password, email, phone, kind, robot_class, supplier_id, supplier_name)
    return row["id"] if row else None


GET = f"-- devices.get\nSELECT {COLUMNS} FROM smart_devices WHERE device_id = $1"


async def get(db: Db, device_id: str) -> Account | None:
    """Return the account with this device id, None if there is none."""
    row = await db.row(GET, device_id)
    return _account(row) if row else None


GET_BY_ID = f"-- devices.get_by_id\nSELECT {COLUMNS} FROM smart_devices WHERE id = $1"


async def get_by_id(db: Db, user_id: int) -> Account | None:
    """Return the account with this user id, None if there is none."""
    row = await db.row(GET_BY_ID, user_id)
    return _account(row) if row else None


LIST = f"-- devices.list\nSELECT {COLUMNS} FROM smart_devices WHERE kind = $1 ORDER BY id LIMIT $2"


async def list_of_kind(db: Db, kind: Kind, limit: int) -> list[Account]:
    """Return up to `limit` accounts of a kind, oldest first."""
    return [_account(row) for row in await db.rows(LIST, kind, limit)]


LIST_DISABLED = "-- devices.list_disabled\nSELECT id FROM smart_devices WHERE disabled_at IS NOT NULL"


async def list_disabled(db: Db) -> set[int]:
    """Return the user ids of all disabled accounts."""
    return {row["id"] for row in await db.rows(LIST_DISABLED)}


DISABLE = """
-- devices.disable
WITH closed AS (UPDATE smart_devices SET disabled_at = coalesce(disabled_at, now())
                 WHERE device_id = $1 AND kind = $2 RETURNING id),
revoked AS (UPDATE refresh_tokens SET revoked_at = now() FROM closed WHERE user_id = closed.id AND revoked_at IS NULL)
SELECT id FROM closed
"""


async def disable(db: Db, device_id: str, kind: Kind) -> bool:
    """Disable an account: no login, no refresh, and within 60 s no access token. False if there is no such account."""
    return await db.row(DISABLE, device_id, kind) is not None


ENABLE = """
-- devices.enable
UPDATE smart_devices SET disabled_at = NULL WHERE device_id = $1 AND kind = $2 RETURNING id
"""


async def enable(db: Db, device_id: str, kind: Kind) -> bool:
    """Enable an account again; it must log in anew. False if there is no such account."""
    return await db.row(ENABLE, device_id, kind) is not None


REHASH = "-- devices.rehash\nUPDATE smart_devices SET password = $3 WHERE id = $1 AND password = $2"


async def rehash(db: Db, user_id: int, old: str, new: str) -> None:
    """Replace a hash with one of the same password at a higher cost, unless the password changed meanwhile."""
    await db.run(REHASH, user_id, old, new)


REPLACE_HASH = """
-- devices.change_password
WITH changed AS (UPDATE smart_devices SET password = $3 WHERE id = $1 AND password = $2 RETURNING id),
revoked AS (UPDATE refresh_tokens SET revoked_at = now() FROM changed WHERE user_id = changed.id AND revoked_at IS NULL)
SELECT id FROM changed
"""


async def change_password(db: Db, user_id: int, old: str, new: str) -> bool:
    """Replace the hash and revoke all refresh tokens of the account; False if the hash is not `old` any more."""
    return await db.row(REPLACE_HASH, user_id, old, new) is not None


SET_ALERTS = """
-- devices.set_alerts
UPDATE smart_devices SET alerts = $2, alerts_off_at = CASE WHEN $2 = 'none' THEN coalesce(alerts_off_at, now()) END
 WHERE id = $1
"""


async def set_alerts(db: Db, user_id: int, alerts: AlertPreference) -> bool:
    """Set which alerts a device gets; False if there is no such account."""
    return await db.run(SET_ALERTS, user_id, alerts) == 1


# The receipts and alerts of the device that were not sent are locked in the order of their keys, against deadlocks. A
# dead one is due at once. Of one that is being sent to the old address just now `attempts` changes, so that this
# attempt can't make it dead. Alerts are news: those of more than a day ago stay dead.
CHANGE_CONTACT = """
-- devices.change_contact
WITH was AS MATERIALIZED (SELECT id, email, phone FROM smart_devices WHERE id = $1 FOR NO KEY UPDATE),
changed AS (
  UPDATE smart_devices d
     SET email = CASE WHEN $2 THEN $3 ELSE d.email END, phone = CASE WHEN $4 THEN $5 ELSE d.phone END,
         alerts = coalesce($6, d.alerts),
         alerts_off_at = CASE WHEN coalesce($6, d.alerts) = 'none' THEN coalesce(d.alerts_off_at, now()) END
    FROM was WHERE d.id = was.id RETURNING d.id),
unsent AS MATERIALIZED (
  SELECT r.order_id FROM was JOIN grocery_orders o ON o.user_id = was.id JOIN receipt_outbox r USING (order_id)
   WHERE $2 AND $3 IS DISTINCT FROM was.email AND $3 IS NOT NULL AND r.done_at IS NULL
   ORDER BY r.order_id FOR NO KEY UPDATE OF r),
mended AS (
  UPDATE receipt_outbox r
     SET dead_at = NULL, attempts = 0, created_at = now(),
         next_attempt_at = CASE WHEN r.dead_at IS NULL THEN r.next_attempt_at ELSE now() END
    FROM unsent u WHERE r.order_id = u.order_id RETURNING r.order_id),
unheard AS MATERIALIZED (
  SELECT a.order_id, a.event FROM was JOIN grocery_orders o ON o.user_id = was.id JOIN alert_outbox a USING (order_id)
   WHERE $4 AND $5 IS DISTINCT FROM was.phone AND $5 IS NOT NULL AND a.done_at IS NULL
     AND a.created_at > now() - interval '1 day'
   ORDER BY a.order_id, a.event FOR NO KEY UPDATE OF a),
retold AS (
  UPDATE alert_outbox a
     SET dead_at = NULL, attempts = 0,
         next_attempt_at = CASE WHEN a.dead_at IS NULL THEN a.next_attempt_at ELSE now() END
    FROM unheard u WHERE a.order_id = u.order_id AND a.event = u.event RETURNING a.order_id)
SELECT (SELECT count(*) FROM mended) AS receipts, (SELECT count(*) FROM retold) AS alerts FROM changed
"""


class ContactChange(Struct, frozen=True):
    """How many receipts and alerts go to the new address and number, because they could not be sent to the old ones."""

    receipts: int
    alerts: int


async def change_contact(
    db: Db,
    user_id: int,
    *,
    email: str | UnsetType | None,
    phone: str | UnsetType | None,
    alerts: AlertPreference | UnsetType,
) -> ContactChange | None:
    """Change what is set, and send what an old address or number held up; None if there is no such account."""
    row = await db.row(
        CHANGE_CONTACT,
        user_id,
        email is not UNSET,
        None if email is UNSET else email,
        phone is not UNSET,
        None if phone is UNSET else phone,
        None if alerts is UNSET else alerts,
    )
    return ContactChange(row["receipts"], row["alerts"]) if row else None


def _account(row: Row) -> Account:
    return Account(
        row["id"],
        row["device_id"],
        row["password"],
        Kind(row["kind"]),
        row["robot_class"],
        None if row["scopes"] is None else tuple(row["scopes"]),
        row["email"],
        row["phone"],
        row["disabled"],
        row["supplier_id"],
        row["supplier_name"],
        AlertPreference(row["alerts"]),
    )
