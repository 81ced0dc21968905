"""Issue tokens: an access token for an account, together with the refresh token that gets the next one."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from msgspec import Struct

from autogrocery.gateway.core.account import AUDIENCES, Account, Kind
from autogrocery.gateway.wire.accounts import TokensOut
from autogrocery.kit.security import tokens

ISSUER: Final = "autogrocery"
REFRESH_BYTES: Final = 32
REFRESH_CHARACTERS: Final = 43  # of REFRESH_BYTES in base64url without padding


class TokenSettings(Struct, frozen=True):
    """The keys that sign access tokens, and the lifetimes of access and refresh tokens in seconds."""

    key: bytes
    robot_key: bytes
    access_ttl_s: int
    refresh_ttl_s: int


def issue_tokens(settings: TokenSettings, account: Account, refresh_token: str) -> TokensOut:
    """Return a new access token for the account, and `refresh_token`, which the caller has stored."""
    access = tokens.issue(
        settings.robot_key if account.kind is Kind.ROBOT else settings.key,
        issuer=ISSUER,
        audience=AUDIENCES[account.kind],
        user_id=account.user_id,
        principal=account.device_id,
        scopes=account.scopes,
        ttl_s=settings.access_ttl_s,
    )
    return TokensOut(access, refresh_token, "Bearer", settings.access_ttl_s)


def new_refresh_token() -> str:
    """Return a random refresh token of REFRESH_CHARACTERS characters."""
    return secrets.token_urlsafe(REFRESH_BYTES)


def digest_of(refresh_token: str) -> bytes:
    """Return the SHA-256 of a refresh token, which is what the database stores."""
    return hashlib.sha256(refresh_token.encode("ascii")).digest()
