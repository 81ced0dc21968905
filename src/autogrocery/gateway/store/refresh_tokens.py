"""Refresh tokens, stored as SHA-256 only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.account import PresentedToken, Rotation, decide_rotation

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from autogrocery.gateway.core.account import Kind
    from autogrocery.kit.pg.db import Db, DbConnection

ADD = """
-- refresh_tokens.add
INSERT INTO refresh_tokens (token_sha256, family, user_id, expires_at, parent)
VALUES ($1, $2, $3, now() + $4 * interval '1 second', $5)
"""


async def add(db: Db, token: bytes, family: UUID, user_id: int, *, ttl_s: int) -> None:
    """Add the first token (SHA-256) of a new family, valid for `ttl_s` seconds."""
    await db.run(ADD, token, family, user_id, ttl_s, None)


LOCK = """
-- refresh_tokens.lock
SELECT d.id FROM refresh_tokens t JOIN smart_devices d ON d.id = t.user_id
 WHERE t.token_sha256 = $1 AND d.kind = ANY ($2::text[]) FOR NO KEY UPDATE OF d
"""
GET = """
-- refresh_tokens.get
SELECT t.family, t.user_id, t.expires_at > now() AND t.revoked_at IS NULL AND d.disabled_at IS NULL AS live,
       extract(epoch FROM clock_timestamp() - t.replaced_at)::float8 AS replaced_for_s,
       (SELECT c.parent FROM refresh_tokens c WHERE c.family = t.family AND c.replaced_at IS NULL) AS current_parent
  FROM refresh_tokens t JOIN smart_devices d ON d.id = t.user_id WHERE t.token_sha256 = $1
"""
REPLACE = """
-- refresh_tokens.replace
UPDATE refresh_tokens SET replaced_at = clock_timestamp() WHERE family = $1 AND replaced_at IS NULL
"""
REVOKE = """
-- refresh_tokens.revoke
UPDATE refresh_tokens SET revoked_at = now() WHERE family = $1 AND revoked_at IS NULL
"""


async def exchange(db: Db, token: bytes, fresh: bytes, kinds: Collection[Kind], *, ttl_s: int) -> int | None:
    """Replace `token` with `fresh` (both SHA-256), if `decide_rotation` says so.

    One transaction under the account's lock. Returns the user id, None if the token is refused. A stolen token revokes
    its whole family. The token of an account that is not of `kinds` is refused and stays as it is.
    """
    async with db.transaction() as tx:
        if await tx.row(LOCK, token, list(kinds)) is None:
            return None
        return await _exchange(tx, token, fresh, ttl_s)


async def _exchange(tx: DbConnection, token: bytes, fresh: bytes, ttl_s: int) -> int | None:
    row = await tx.row(GET, token)
    assert row is not None
    match decide_rotation(PresentedToken(token, row["live"], row["replaced_for_s"], row["current_parent"])):
        case Rotation.RENEW:
            await tx.run(REPLACE, row["family"])
            await tx.run(ADD, fresh, row["family"], row["user_id"], ttl_s, token)
            user_id: int = row["user_id"]
            return user_id
        case Rotation.REVOKE:
            await tx.run(REVOKE, row["family"])
    return None


DELETE_EXPIRED = (
    "-- refresh_tokens.delete_expired\nDELETE FROM refresh_tokens WHERE expires_at < now() - interval '1 day'"
)


async def delete_expired(db: Db) -> int:
    """Delete tokens that expired more than a day ago; returns how many."""
    return await db.run(DELETE_EXPIRED)
