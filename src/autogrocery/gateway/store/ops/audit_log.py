"""The log of operators' writes, table ops_audit_log: an entry begins before its action and is finished once after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autogrocery.contracts.ops.audit_log import AuditEntry, Facts

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


class BegunEntry(Struct, frozen=True):
    """An entry as `begin` leaves it; `is_new` False: the key had begun it before, `outcome` says what came of it."""

    entry_id: int
    is_new: bool
    request_sha256: bytes
    outcome: str
    answer: bytes | None
    age_s: float


# A repeated key changes nothing; the second branch then reads the entry that it began.
BEGIN = """
-- ops_audit_log.begin
WITH added AS (
  INSERT INTO ops_audit_log (operator, action, target, reason, before, idempotency_key, request_sha256)
  VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7)
  ON CONFLICT (operator, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
  RETURNING entry_id, true AS is_new, request_sha256, outcome, NULL::text AS answer, 0::float8 AS age_s)
SELECT * FROM added
UNION ALL
SELECT entry_id, false, request_sha256, outcome, answer::text, extract(epoch FROM now() - at)::float8
  FROM ops_audit_log WHERE operator = $1 AND idempotency_key = $6 AND NOT EXISTS (SELECT FROM added)
"""


async def begin(
    db: Db,
    operator: str,
    action: str,
    target: str,
    reason: str,
    *,
    before: Facts | None,
    key: str | None,
    sha256: bytes,
) -> BegunEntry | None:
    """Begin an entry, or return the one of the same operator and key; None: it is being written, ask again."""
    facts = None if before is None else msgspec.json.encode(before).decode()
    row = await db.row(BEGIN, operator, action, target, reason, facts, key, sha256)
    if row is None:
        return None
    answer = row["answer"]
    return BegunEntry(
        row["entry_id"],
        row["is_new"],
        row["request_sha256"],
        row["outcome"],
        None if answer is None else answer.encode(),
        row["age_s"],
    )


# A refusal frees the key: the same request may be accepted later.
FINISH = """
-- ops_audit_log.finish
UPDATE ops_audit_log
   SET outcome = $2, after = $3::jsonb, answer = $4::jsonb,
       idempotency_key = CASE WHEN $2 LIKE 'refused:%' THEN NULL ELSE idempotency_key END
 WHERE entry_id = $1 AND outcome = 'started'
"""


async def finish(db: Db, entry_id: int, outcome: str, *, after: Facts | None, answer: bytes | None) -> bool:
    """Write what came of the action; False if another caller with the same key was first."""
    facts = None if after is None else msgspec.json.encode(after).decode()
    return await db.run(FINISH, entry_id, outcome, facts, None if answer is None else answer.decode()) == 1


LIST = """
-- ops_audit_log.list
SELECT entry_id, at, operator, action, target, reason, outcome, before::text AS before, after::text AS after
  FROM ops_audit_log
 WHERE ($1::bigint IS NULL OR entry_id < $1) AND ($2::text IS NULL OR target = $2)
 ORDER BY entry_id DESC LIMIT $3
"""


async def list_entries(db: Db, *, before_id: int | None, target: str | None, limit: int) -> list[AuditEntry]:
    """Return up to `limit` entries, newest first, older than `before_id`; `target`: only those about it."""
    return [
        AuditEntry(
            row["entry_id"],
            row["at"],
            row["operator"],
            row["action"],
            row["target"],
            row["reason"],
            row["outcome"],
            _facts(row["before"]),
            _facts(row["after"]),
        )
        for row in await db.rows(LIST, before_id, target, limit)
    ]


def _facts(text: str | None) -> Facts | None:
    return None if text is None else msgspec.json.decode(text, type=Facts)
