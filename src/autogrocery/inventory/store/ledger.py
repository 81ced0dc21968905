"""What came into the store and what left it otherwise than in an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class Entry(Struct, frozen=True):
    """One entry: `delta` units of a SKU. An assignment that fell short names its order and robot, a lot that left its code."""

    at: datetime
    sku: str
    cause: str
    delta: int
    lot: str | None
    order_id: UUID | None
    robot_id: str | None


LIST = """-- ledger.list
SELECT g.at, g.sku, g.cause, g.delta, g.lot, a.order_id, a.holder AS robot_id
  FROM inventory.ledger g LEFT JOIN inventory.assignments a ON g.cause = 'shrink' AND a.assignment_id = g.ref
 WHERE ($1::text IS NULL OR g.sku = $1) AND ($2::text IS NULL OR g.cause = $2)
 ORDER BY g.at DESC, g.sku, g.ref LIMIT $3
"""


async def list_entries(db: Db, *, sku: str | None, cause: str | None, limit: int) -> tuple[Entry, ...]:
    """Return the newest entries, of one SKU or cause if that is given."""
    return tuple(
        Entry(row["at"], row["sku"], row["cause"], row["delta"], row["lot"], row["order_id"], row["robot_id"])
        for row in await db.rows(LIST, sku, cause, limit)
    )
