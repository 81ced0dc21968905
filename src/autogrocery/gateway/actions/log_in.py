"""Log in: exchange a password for an access token and a refresh token."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from autogrocery.gateway.actions.issue_tokens import digest_of, issue_tokens, new_refresh_token
from autogrocery.gateway.core.account import MAX_PASSWORD_BYTES
from autogrocery.gateway.store import devices, refresh_tokens
from autogrocery.kit.errors import Unauthenticated, Unavailable
from autogrocery.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Collection

    from autogrocery.gateway.actions.issue_tokens import TokenSettings
    from autogrocery.gateway.core.account import Kind
    from autogrocery.gateway.wire.accounts import TokensOut
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import PasswordHasher


async def log_in(
    db: Db,
    passwords: PasswordHasher,
    token_settings: TokenSettings,
    device_id: str,
    password: str,
    kinds: Collection[Kind],
) -> TokensOut:
    """Return tokens for an account of one of `kinds`.

    Raises Unavailable, and Unauthenticated(invalid_credentials): the same answer after the same time for an unknown
    account, a wrong password, an account of another kind and a disabled one.
    """
    account = await devices.get(db, device_id) if "\0" not in device_id else None
    matches = await passwords.matches(password, account.password if account else None)
    if account is None or not matches or account.kind not in kinds or account.disabled:
        raise Unauthenticated("invalid_credentials", "device id or password is wrong")
    if passwords.needs_rehash(account.password) and len(password.encode()) <= MAX_PASSWORD_BYTES:
        with suppress(Unavailable):  # the next login tries again
            await devices.rehash(db, account.user_id, account.password, await passwords.hash(password))
    refresh_token = new_refresh_token()
    await refresh_tokens.add(db, digest_of(refresh_token), uuid7(), account.user_id, ttl_s=token_settings.refresh_ttl_s)
    return issue_tokens(token_settings, account, refresh_token)
