"""Calls to peers that failed, were repeated or were slow."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Final
from uuid import UUID  # noqa: TC003

from msgspec import Struct, structs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db

KEPT_DAYS: Final = 30


class StoredCall(Struct, frozen=True):
    """One call: when it began, how many milliseconds it took, and its outcome: ok, or why there is none."""

    order_id: UUID
    peer: str
    method: str
    at: datetime
    ms: float
    outcome: str
    attempt: int


ADD = """
-- peer_calls.add
INSERT INTO peer_calls (order_id, peer, method, at, ms, outcome, attempt)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::float8[], $6::text[], $7::int[])
"""


async def add(db: Db, calls: Sequence[StoredCall]) -> None:
    """Store calls in one statement."""
    await db.run(ADD, *(list(column) for column in zip(*map(structs.astuple, calls), strict=True)))


LIST = """
-- peer_calls.list
SELECT order_id, peer, method, at, ms, outcome, attempt FROM peer_calls WHERE order_id = $1 ORDER BY at DESC LIMIT $2
"""


async def list_calls(db: Db, order_id: UUID, limit: int) -> list[StoredCall]:
    """Return the newest calls about an order or restock, newest first."""
    return [StoredCall(*row.values()) for row in await db.rows(LIST, order_id, limit)]


DELETE_OLD = f"""
-- peer_calls.delete_old
DELETE FROM peer_calls WHERE call_id IN (
  SELECT call_id FROM peer_calls WHERE at < now() - interval '{KEPT_DAYS} days' ORDER BY at LIMIT 1000)
"""  # noqa: S608 - a constant


async def delete_old(db: Db) -> int:
    """Delete up to 1,000 calls older than KEPT_DAYS; returns how many."""
    return await db.run(DELETE_OLD)
