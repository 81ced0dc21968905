"""Enrol: a device makes itself known with a code from an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.account import require_new, taken
from autogrocery.gateway.core.enrolment import digest_of
from autogrocery.gateway.store import devices, enrolments
from autogrocery.kit.errors import Denied
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import Passwords


async def enrol(
    db: Db, passwords: Passwords, device_id: str, password: str, *, email: str | None, phone: str | None, code: str
) -> int:
    """Add a device, spend one use of its code, and return its user id.

    Raises Invalid(invalid_request), Denied(invalid_enrolment_code), Conflict(device_taken) and Unavailable.
    """
    require_new(password, email=email, phone=phone)
    bad = Denied("invalid_enrolment_code", "a device is registered here with a code from an operator; this is none")
    digest = digest_of(code)
    if not await enrolments.is_good(db, digest):  # before anything is said or hashed
        raise bad
    if await devices.get(db, device_id):
        raise taken()
    hashed = await passwords.hash(password)
    user_id, good = await enrolments.enrol(db, digest, device_id, hashed, email=email, phone=phone)
    if not good:
        raise bad
    if user_id is None:
        raise taken()
    log.info("device_enrolled", user_id=user_id)
    return user_id
