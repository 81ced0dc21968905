"""Register: add an account to the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.account import (
    Kind,
    canonical_email,
    device_taken,
    require_password,
    require_phone,
    require_supplier_of_truck,
)
from autogrocery.gateway.store import devices
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import PasswordHasher


async def register(
    db: Db,
    passwords: PasswordHasher,
    device_id: str,
    password: str,
    *,
    kind: Kind = Kind.DEVICE,
    email: str | None = None,
    phone: str | None = None,
    robot_class: str | None = None,
    supplier_id: str | None = None,
    supplier_name: str | None = None,
) -> int:
    """Add an account and return its user id.

    Raises Invalid(invalid_request), Conflict(device_taken) and Unavailable.
    """
    require_password(password)
    require_phone(phone)
    email = canonical_email(email)
    require_supplier_of_truck(kind, supplier_id)
    if await devices.get(db, device_id):
        raise device_taken()
    hashed = await passwords.hash(password)
    user_id = await devices.add(
        db,
        device_id,
        hashed,
        kind,
        email=email,
        phone=phone,
        robot_class=robot_class,
        supplier_id=supplier_id,
        supplier_name=supplier_name,
    )
    if user_id is None:
        raise device_taken()
    log.info("account_added", user_id=user_id, kind=kind)
    return user_id
