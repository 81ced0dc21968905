"""Change a device as an operator: its contact, or whether it may log in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from autogrocery.contracts.ops.devices import DeviceChangeIn, DeviceRow
from autogrocery.gateway.actions.change_contact import change_contact
from autogrocery.gateway.actions.ops.record_write import Recorded, Write, Written, record_write
from autogrocery.gateway.actions.ops.view_devices import view_device
from autogrocery.gateway.actions.refresh_disabled import refresh_disabled
from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.store import devices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from autogrocery.contracts.ops.audit_log import Facts
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.tokens import Verifier


async def change_device(db: Db, device_id: str, wanted: DeviceChangeIn, write: Write) -> Recorded[DeviceRow]:
    """Change what is given of the device's contact; receipts and alerts that were held up are due again.

    Raises NotFound(device_not_found), Invalid(invalid_request), what `record_write` raises, and Unavailable.
    """
    before = await view_device(db, device_id)
    change = partial(change_contact, db, before.user_id, email=wanted.email, phone=wanted.phone, alerts=wanted.alerts)
    return await _record(db, before, change, write)


async def set_device_enabled(
    db: Db, verifiers: Iterable[Verifier], device_id: str, write: Write, *, enabled: bool
) -> Recorded[DeviceRow]:
    """Disable a device, or enable it again; this gateway knows at once, the others within 30 s.

    Raises NotFound(device_not_found), what `record_write` raises, and Unavailable.
    """
    before = await view_device(db, device_id)
    verb = devices.enable if enabled else devices.disable
    done = await _record(db, before, partial(verb, db, device_id, Kind.DEVICE), write)
    await refresh_disabled(db, verifiers)
    return done


async def _record(
    db: Db, before: DeviceRow, change: Callable[[], Awaitable[object]], write: Write
) -> Recorded[DeviceRow]:
    async def run() -> Written[DeviceRow]:
        await change()
        after = await view_device(db, before.device_id)
        return Written(after, _facts(after))

    return await record_write(db, write, DeviceRow, _facts(before), run)


def _facts(device: DeviceRow) -> Facts:
    return {
        "disabled": device.disabled_at is not None,
        "email": device.email,
        "phone": device.phone,
        "alerts": device.alerts.value,
    }
