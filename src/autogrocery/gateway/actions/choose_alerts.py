"""Choose alerts: set for which ends of its orders a device gets an SMS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.view_account import view_account
from autogrocery.gateway.store import devices

if TYPE_CHECKING:
    from autogrocery.contracts.alerts import AlertPreference
    from autogrocery.gateway.wire.accounts import MeOut
    from autogrocery.kit.pg.db import Db


async def choose_alerts(db: Db, user_id: int, preference: AlertPreference) -> MeOut:
    """Set the account's alert preference and return its registry entry.

    Raises Unauthenticated if the account is gone.
    """
    await devices.set_alerts(db, user_id, preference)
    return await view_account(db, user_id)
