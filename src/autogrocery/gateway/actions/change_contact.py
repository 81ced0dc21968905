"""Change an account's contact: its e-mail address, telephone number, and which SMS alerts it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from autogrocery.gateway.core.account import canonical_email, require_phone
from autogrocery.gateway.store import devices
from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.contracts.alerts import AlertPreference
    from autogrocery.gateway.store.devices import ContactChange
    from autogrocery.kit.pg.db import Db


async def change_contact(
    db: Db,
    user_id: int,
    *,
    email: str | UnsetType | None = UNSET,
    phone: str | UnsetType | None = UNSET,
    alerts: AlertPreference | UnsetType = UNSET,
) -> ContactChange:
    """Change what is given; None removes an address or number. Receipts and alerts that were held up are due again.

    Raises Invalid(invalid_request), Unauthenticated(invalid_token) if the account is gone, and Unavailable.
    """
    if email is not UNSET:
        email = canonical_email(email)
    if phone is not UNSET:
        require_phone(phone)
    changed = await devices.change_contact(db, user_id, email=email, phone=phone, alerts=alerts)
    if changed is None:
        raise Unauthenticated("invalid_token", "this account is gone")
    log.info("contact_changed", user_id=user_id, receipts_due=changed.receipts, alerts_due=changed.alerts)
    return changed
