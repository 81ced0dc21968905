"""Refresh: exchange a refresh token for a new access token and the next refresh token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.issue_tokens import REFRESH_CHARACTERS, digest_of, issue_tokens, new_refresh_token
from autogrocery.gateway.store import devices, refresh_tokens
from autogrocery.kit.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Collection

    from autogrocery.gateway.actions.issue_tokens import TokenSettings
    from autogrocery.gateway.core.account import Kind
    from autogrocery.gateway.wire.accounts import TokensOut
    from autogrocery.kit.pg.db import Db


async def refresh(db: Db, token_settings: TokenSettings, refresh_token: str, kinds: Collection[Kind]) -> TokensOut:
    """Return the next tokens for an account of one of `kinds`.

    Raises Unauthenticated(invalid_token) and Unavailable.
    """
    refused = Unauthenticated("invalid_token", "the refresh token is not good (any more): log in")
    if len(refresh_token) != REFRESH_CHARACTERS or not refresh_token.isascii():
        raise refused
    fresh = new_refresh_token()
    user_id = await refresh_tokens.exchange(
        db, digest_of(refresh_token), digest_of(fresh), kinds, ttl_s=token_settings.refresh_ttl_s
    )
    account = await devices.get_by_id(db, user_id) if user_id is not None else None
    if account is None:
        raise refused
    return issue_tokens(token_settings, account, fresh)
