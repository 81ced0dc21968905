"""Enrol: register a device with an enrolment code from an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.account import canonical_email, device_taken, require_password, require_phone
from autogrocery.gateway.core.enrolment import digest_of
from autogrocery.gateway.store import devices, enrolments
from autogrocery.kit.errors import Denied
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import PasswordHasher


async def enrol(
    db: Db, passwords: PasswordHasher, device_id: str, password: str, *, email: str | None, phone: str | None, code: str
) -> int:
    """Add a device, spend one use of its code, and return its user id.

    Raises Invalid(invalid_request), Denied(invalid_enrolment_code), Conflict(device_taken) and Unavailable.
    """
    require_password(password)
    require_phone(phone)
    email = canonical_email(email)
    refused = Denied("invalid_enrolment_code", "a device is registered here with a code from an operator; this is none")
    digest = digest_of(code)
    if not await enrolments.is_good(db, digest):  # first, so that nothing else is revealed or hashed without a code
        raise refused
    if await devices.get(db, device_id):
        raise device_taken()
    hashed = await passwords.hash(password)
    enrolled = await enrolments.enrol(db, digest, device_id, hashed, email=email, phone=phone)
    if not enrolled.code_is_good:
        raise refused
    if enrolled.user_id is None:
        raise device_taken()
    log.info("device_enrolled", user_id=enrolled.user_id)
    return enrolled.user_id
