"""Change an account's password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.account import require_password
from autogrocery.gateway.store import devices
from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import PasswordHasher


async def change_password(db: Db, passwords: PasswordHasher, user_id: int, password: str, new_password: str) -> None:
    """Replace the password and revoke all refresh tokens of the account.

    Raises Invalid(invalid_request), Unauthenticated(invalid_credentials) and Unavailable.
    """
    require_password(new_password, "/new_password")
    account = await devices.get_by_id(db, user_id)
    if not await passwords.matches(password, account.password if account else None) or account is None:
        raise Unauthenticated("invalid_credentials", "the password is wrong")
    if not await devices.change_password(db, user_id, account.password, await passwords.hash(new_password)):
        raise Unauthenticated("invalid_credentials", "the password changed meanwhile")
    log.info("password_changed", user_id=user_id)
