"""The registry of accounts, table smart_devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.account import Account, Kind
from autogrocery.gateway.core.alert import AlertPreference

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
