"""View an account: its own registry entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.store import devices
from autogrocery.gateway.wire.accounts import MeOut
from autogrocery.kit.errors import Unauthenticated

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


async def view_account(db: Db, user_id: int) -> MeOut:
    """Return the account's registry entry without the password. Raises Unauthenticated(invalid_token) if it is gone."""
    account = await devices.get_by_id(db, user_id)
    if account is None:
        raise Unauthenticated("invalid_token", "this account is gone")
    return MeOut(
        account.user_id,
        account.device_id,
        account.kind,
        account.email,
        account.phone,
        account.robot_class,
        account.scopes,
        account.alerts,
    )
