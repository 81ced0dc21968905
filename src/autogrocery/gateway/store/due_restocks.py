"""What the clock owes to restocks, claimed as orders are in due.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.store import due

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

CLAIM_OWED = due.CLAIM.format(
    point="due_restocks.claim_owed",
    table="restock_orders",
    condition="intent IS NOT NULL",
    backoff=due.BACKOFF,
    also=due.attention("a peer gives no clear answer"),
)
CLAIM_SILENT = due.CLAIM.format(
    point="due_restocks.claim_silent",
    table="restock_orders",
    condition="status = 'RECEIVING' AND intent IS NULL",
    backoff=due.SILENT_BACKOFF,
    also="",
)


async def claim_owed(db: Db) -> list[due.Due]:
    """Claim restocks that owe a peer a call."""
    return due.found_due(await db.rows(CLAIM_OWED, due.BATCH, due.LEASE_S))


async def claim_silent(db: Db, again_after_s: float) -> list[due.Due]:
    """Claim restocks that inventory has had for a while without news; looked at again after `again_after_s` ± 20 %."""
    return due.found_due(await db.rows(CLAIM_SILENT, due.BATCH, due.LEASE_S, again_after_s))


HASTEN_RESTOCKS = due.HASTEN.format(point="due_restocks.hasten", table="restock_orders")


async def hasten(db: Db) -> int:
    """A peer is back: make all that is owed due, spread over a second. Returns how many restocks that is."""
    return await db.run(HASTEN_RESTOCKS)


FLAG_RESTOCK = due.FLAG.format(point="due_restocks.flag", table="restock_orders")


async def flag(db: Db, order_id: UUID, why: str) -> None:
    """Ask for a person's attention; the restock itself stays as it is."""
    await db.run(FLAG_RESTOCK, order_id, why)


COUNT = """
-- due_restocks.count
SELECT count(*) FILTER (WHERE intent IS NOT NULL) AS owed, count(*) FILTER (WHERE attention IS NOT NULL) AS attention,
       count(*) FILTER (WHERE status = 'ANNOUNCED') AS announced, count(*) FILTER (WHERE status = 'RECEIVING') AS receiving
  FROM restock_orders WHERE due_at IS NOT NULL
"""


async def count(db: Db) -> dict[str, int]:
    """Return how many restocks are looked after, by what they wait for."""
    row = await db.row(COUNT)
    return dict(row.items()) if row else {}
