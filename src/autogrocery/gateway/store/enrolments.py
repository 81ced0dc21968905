"""Enrolment codes, and the registration of devices with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.enrolment import EnrolmentCode

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

GOOD = "uses_left > 0 AND revoked_at IS NULL AND expires_at > now()"

ADD = """
-- enrolments.add
INSERT INTO enrolment_codes (code_sha256, uses, uses_left, expires_at)
VALUES ($1, $2, $2, now() + make_interval(days => $3)) RETURNING code_id
"""


async def add(db: Db, code: bytes, uses: int, days: int) -> int:
    """Store the digest of a code that registers `uses` devices within `days` days; returns its id."""
    row = await db.row(ADD, code, uses, days)
    assert row is not None
    code_id: int = row["code_id"]
    return code_id


IS_GOOD = f"-- enrolments.is_good\nSELECT 1 FROM enrolment_codes WHERE code_sha256 = $1 AND {GOOD}"


async def is_good(db: Db, code: bytes) -> bool:
    """Return whether the code with this digest can register a device now."""
    return await db.row(IS_GOOD, code) is not None


class Enrolled(Struct, frozen=True):
    """The result of an enrolment. `user_id` is None if the device id is taken or the code is not good."""

    user_id: int | None
    code_is_good: bool


# The code's row is locked first, so that of two devices with its last use one waits and then finds no use left. A use
# is counted only if the device was inserted: a device id that is taken costs none.
ENROL = f"""
-- enrolments.enrol
WITH code AS (SELECT code_id FROM enrolment_codes WHERE code_sha256 = $1 AND {GOOD} FOR UPDATE),
added AS (INSERT INTO smart_devices (device_id, password, email, phone) SELECT $2, $3, $4, $5 FROM code
          ON CONFLICT (device_id) DO NOTHING RETURNING id),
spent AS (UPDATE enrolment_codes SET uses_left = uses_left - 1 FROM code, added
           WHERE enrolment_codes.code_id = code.code_id)
SELECT (SELECT id FROM added) AS user_id, EXISTS (SELECT 1 FROM code) AS good
"""  # noqa: S608 - a constant


async def enrol(
    db: Db, code: bytes, device_id: str, password: str, *, email: str | None, phone: str | None
) -> Enrolled:
    """Add a device with its bcrypt hash and use the code once, both or neither."""
    row = await db.row(ENROL, code, device_id, password, email, phone)
    assert row is not None
    return Enrolled(row["user_id"], row["good"])


LIST = """
-- enrolments.list
SELECT code_id, uses, uses_left, created_at, expires_at,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN uses_left = 0 THEN 'spent'
            WHEN expires_at <= now() THEN 'expired' ELSE 'good' END AS state
  FROM enrolment_codes ORDER BY code_id DESC LIMIT $1
"""


async def list_codes(db: Db, limit: int) -> list[EnrolmentCode]:
    """Return up to `limit` codes, newest first."""
    return [EnrolmentCode(**row) for row in await db.rows(LIST, limit)]


REVOKE = """
-- enrolments.revoke
UPDATE enrolment_codes SET revoked_at = coalesce(revoked_at, now()) WHERE code_id = $1 RETURNING code_id
"""


async def revoke(db: Db, code_id: int) -> bool:
    """Revoke a code; False if there is none with this id."""
    return await db.row(REVOKE, code_id) is not None
