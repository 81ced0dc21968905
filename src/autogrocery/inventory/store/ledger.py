"""The ledger: units that came into the store, and units that left it other than in an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class LedgerEntry(Struct, frozen=True):
    """`delta` units of a SKU. A short pick names its order and robot; an expired or recalled lot names its code."""

    at: datetime
    sku: str
    cause: str
    delta: int
    lot: str | None
    order_id: UUID | None
    robot_id: str | None


# The newest entries, of one SKU ($1) or cause ($2) if given; a short pick has the order and the robot of its
# assignment.
LIST = """-- ledger.list
SELECT g.at, g.sku, g.cause, g.delta, g.lot, a.order_id, a.holder AS robot_id
  FROM inventory.ledger g LEFT JOIN inventory.assignments a ON g.cause = 'shrink' AND a.assignment_id = g.ref
 WHERE ($1::text IS NULL OR g.sku = $1) AND ($2::text IS NULL OR g.cause = $2)
 ORDER BY g.at DESC, g.sku, g.ref LIMIT $3
"""


async def list_entries(db: Db, *, sku: str | None, cause: str | None, limit: int) -> tuple[LedgerEntry, ...]:
    """Return the newest `limit` entries, of one SKU or cause if given."""
    return tuple(
        LedgerEntry(row["at"], row["sku"], row["cause"], row["delta"], row["lot"], row["order_id"], row["robot_id"])
        for row in await db.rows(LIST, sku, cause, limit)
    )
