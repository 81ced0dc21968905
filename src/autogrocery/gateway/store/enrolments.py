"""Enrolment codes, and the devices that are let in by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """Write the digest of a code that lets in `uses` devices within `days` days; returns its id."""
    row = await db.row(ADD, code, uses, days)
    assert row is not None
    number: int = row["code_id"]
    return number


IS_GOOD = f"-- enrolments.is_good\nSELECT 1 FROM enrolment_codes WHERE code_sha256 = $1 AND {GOOD}"


async def is_good(db: Db, code: bytes) -> bool:
    """Say whether a code would let in a device now."""
    return await db.row(IS_GOOD, code) is not None


# The row of the code is locked first, so that of two devices with its last use one waits, and then finds it spent. It is
# counted down only if the device was written: a name that is taken spends nothing.
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
) -> tuple[int | None, bool]:
    """Write a device with its bcrypt hash and spend one use of a code, both or neither.

    Returns its user id, None if the device id is taken or the code is not good; and whether the code is good.
    """
    row = await db.row(ENROL, code, device_id, password, email, phone)
    assert row is not None
    return row["user_id"], row["good"]


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
    """End a code; False if there is none."""
    return await db.row(REVOKE, code_id) is not None
