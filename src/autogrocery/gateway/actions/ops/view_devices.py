"""Read devices, with masked addresses and telephone numbers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from autogrocery.contracts.alerts import AlertPreference
from autogrocery.contracts.ops.devices import DeviceRow, DevicesOut
from autogrocery.gateway.core.mask import mask_email, mask_phone
from autogrocery.gateway.store.ops import devices
from autogrocery.kit.errors import FieldError, Invalid, NotFound

if TYPE_CHECKING:
    from autogrocery.gateway.store.ops.devices import DeviceState
    from autogrocery.kit.pg.db import Db


async def view_devices(db: Db, *, prefix: str, cursor: str | None, limit: int) -> DevicesOut:
    """Return a page of devices by id; raises Invalid(invalid_request) on a foreign cursor, and Unavailable."""
    found = await devices.list_after(db, _parse_cursor(cursor) if cursor else None, prefix, limit + 1)
    page = found[:limit]
    more = len(found) > limit
    return DevicesOut(
        [_row(one) for one in page],
        base64.urlsafe_b64encode(page[-1].device_id.encode()).decode() if more else None,
    )


async def view_device(db: Db, device_id: str) -> DeviceRow:
    """Return a device; raises NotFound(device_not_found) and Unavailable."""
    found = await devices.get(db, device_id)
    if found is None:
        raise NotFound("device_not_found", "there is no such device")
    return _row(found)


def _row(one: DeviceState) -> DeviceRow:
    return DeviceRow(
        one.device_id,
        one.user_id,
        one.disabled_at,
        mask_email(one.email),
        mask_phone(one.phone),
        AlertPreference(one.alerts),
    )


def _parse_cursor(cursor: str) -> str:
    try:
        found = base64.b64decode(cursor.encode(), b"-_", validate=True).decode("ascii")
        if found.isprintable():
            return found
    except ValueError:
        pass
    flaw = FieldError(pointer="/cursor", detail="take the next_cursor of the page before")
    raise Invalid("invalid_request", "the cursor is not one of ours", errors=(flaw,))
