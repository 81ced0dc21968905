"""Devices as operators list them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.kit.pg.db import Db


class DeviceState(Struct, frozen=True):
    """A device's row without its password; email and phone are in clear text and must be masked before they leave."""

    device_id: str
    user_id: int
    disabled_at: datetime | None
    email: str | None
    phone: str | None
    alerts: str


COLUMNS = "device_id, id AS user_id, disabled_at, email, phone, alerts"
GET = f"-- ops_devices.get\nSELECT {COLUMNS} FROM smart_devices WHERE device_id = $1 AND kind = 'device'"


async def get(db: Db, device_id: str) -> DeviceState | None:
    """Return the device, None if there is none of this id."""
    row = await db.row(GET, device_id)
    return DeviceState(**row) if row else None


LIST = f"""
-- ops_devices.list
SELECT {COLUMNS} FROM smart_devices
 WHERE kind = 'device' AND ($1::text IS NULL OR device_id > $1) AND starts_with(device_id, $2)
 ORDER BY device_id LIMIT $3
"""  # noqa: S608


async def list_after(db: Db, after: str | None, prefix: str, limit: int) -> list[DeviceState]:
    """Return up to `limit` devices by id, whose id begins with `prefix`, after the id `after`."""
    return [DeviceState(**row) for row in await db.rows(LIST, after, prefix, limit)]
