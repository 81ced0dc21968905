"""Log in, and stay so: a password for a pair of tokens, a refresh token for the next pair."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.account import AUDIENCES, Account, Kind, require_password
from autogrocery.gateway.store import devices, refresh_tokens
from autogrocery.gateway.wire.accounts import TokensOut
from autogrocery.kit.errors import Unauthenticated, Unavailable
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.process.log import log
from autogrocery.kit.security import tokens

if TYPE_CHECKING:
    from collections.abc import Collection

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import Passwords

ISSUER = "autogrocery"
REFRESH_BYTES = 32
REFRESH_CHARACTERS = 43


class Issuing(Struct, frozen=True):
    """How tokens are made: the signing keys, and lifetimes in seconds."""

    key: bytes
    robot_key: bytes
    access_ttl_s: int
    refresh_ttl_s: int


async def log_in(
    db: Db, passwords: Passwords, issuing: Issuing, device_id: str, password: str, kinds: Collection[Kind]
) -> TokensOut:
    """Return tokens for an account of one of `kinds`.

    Raises Unauthenticated(invalid_credentials), the same after the same work for an unknown account, a wrong password and a
    wrong door; and Unavailable.
    """
    known = await devices.get(db, device_id) if "\0" not in device_id else None
    right = await passwords.matches(password, known.password if known else None)
    if known is None or not right or known.kind not in kinds or known.disabled:
        raise Unauthenticated("invalid_credentials", "device id or password is wrong")
    if passwords.is_weak(known.password) and len(password.encode()) <= 72:  # noqa: PLR2004 - what bcrypt reads
        with suppress(Unavailable):  # it can wait for the next login
            await devices.rehash(db, known.user_id, known.password, await passwords.hash(password))
    refresh = secrets.token_urlsafe(REFRESH_BYTES)
    await refresh_tokens.add(db, _digest(refresh), uuid7(), known.user_id, ttl_s=issuing.refresh_ttl_s)
    return _pair(issuing, known, refresh)


async def refresh(db: Db, issuing: Issuing, shown: str, kinds: Collection[Kind]) -> TokensOut:
    """Return the next pair. Raises Unauthenticated(invalid_token) and Unavailable."""
    refused = Unauthenticated("invalid_token", "the refresh token is not good (any more): log in")
    if len(shown) != REFRESH_CHARACTERS or not shown.isascii():
        raise refused
    fresh = secrets.token_urlsafe(REFRESH_BYTES)
    user_id = await refresh_tokens.exchange(db, _digest(shown), _digest(fresh), kinds, ttl_s=issuing.refresh_ttl_s)
    known = await devices.get_by_id(db, user_id) if user_id is not None else None
    if known is None:
        raise refused
    return _pair(issuing, known, fresh)


async def change_password(db: Db, passwords: Passwords, user_id: int, password: str, new_password: str) -> None:
    """Replace the password and revoke refresh tokens. Raises Invalid, Unauthenticated(invalid_credentials), Unavailable."""
    require_password(new_password, "/new_password")
    known = await devices.get_by_id(db, user_id)
    if not await passwords.matches(password, known.password if known else None) or known is None:
        raise Unauthenticated("invalid_credentials", "the password is wrong")
    if not await devices.change_password(db, user_id, known.password, await passwords.hash(new_password)):
        raise Unauthenticated("invalid_credentials", "the password changed meanwhile")
    log.info("password_changed", user_id=user_id)


def _pair(issuing: Issuing, account: Account, refresh_token: str) -> TokensOut:
    access = tokens.issue(
        issuing.robot_key if account.kind is Kind.ROBOT else issuing.key,
        issuer=ISSUER,
        audience=AUDIENCES[account.kind],
        user_id=account.user_id,
        device_id=account.device_id,
        scopes=account.scopes,
        ttl_s=issuing.access_ttl_s,
    )
    return TokensOut(access, refresh_token, "Bearer", issuing.access_ttl_s)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
