"""Restocks whose `due_at` has passed: claimed as due.py claims orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.store import due
from autogrocery.gateway.store.template import fill

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.order import Due
    from autogrocery.kit.pg.db import Db

CLAIM_OWED = fill(
    due.CLAIM,
    point="due_restocks.claim_owed",
    table="restock_orders",
    condition="intent IS NOT NULL",
    backoff=due.BACKOFF,
    also=due.attention("a peer gives no clear answer"),
)
CLAIM_SILENT = fill(
    due.CLAIM,
    point="due_restocks.claim_silent",
    table="restock_orders",
    condition="status = 'RECEIVING' AND intent IS NULL",
    backoff=due.SILENT_BACKOFF,
    also=due.attention_to_silence(due.NO_CLEAR_ANSWER),
)


async def claim_owed(db: Db) -> list[Due]:
    """Claim restocks that owe a peer a call."""
    return due.found_due(await db.rows(CLAIM_OWED, due.BATCH, due.LEASE_S))


async def claim_silent(db: Db, again_after_s: float) -> list[Due]:
    """Claim RECEIVING restocks without news for too long; each is due again after `again_after_s` ± 20 %."""
    return due.found_due(await db.rows(CLAIM_SILENT, due.BATCH, due.LEASE_S, again_after_s))


HASTEN_RESTOCKS = fill(due.HASTEN, point="due_restocks.hasten", table="restock_orders")


async def hasten(db: Db) -> int:
    """Make every owed call due within a second, because a peer answers again. Returns how many restocks that is."""
    return await db.run(HASTEN_RESTOCKS)


FLAG_RESTOCK = fill(due.FLAG, point="due_restocks.flag", table="restock_orders")


async def flag(db: Db, order_id: UUID, why: str) -> None:
    """Flag the restock for an operator; its status and intent stay as they are."""
    await db.run(FLAG_RESTOCK, order_id, why)


NOTE_RESTOCK_ANSWER = fill(due.NOTE_ANSWER, point="due_restocks.note_answer", table="restock_orders")


async def note_answer(db: Db, order_id: UUID) -> None:
    """Note that inventory has answered clearly about a restock that goes on: the count of tries starts anew."""
    await db.run(NOTE_RESTOCK_ANSWER, order_id, due.NO_CLEAR_ANSWER)


COUNT = """
-- due_restocks.count
SELECT count(*) FILTER (WHERE intent IS NOT NULL) AS owed, count(*) FILTER (WHERE attention IS NOT NULL) AS attention,
       count(*) FILTER (WHERE status = 'ANNOUNCED') AS announced,
       count(*) FILTER (WHERE status = 'RECEIVING') AS receiving
  FROM restock_orders WHERE due_at IS NOT NULL
"""


async def count(db: Db) -> dict[str, int]:
    """Return the number of restocks that a loop will look at again, by what they wait for."""
    row = await db.row(COUNT)
    return dict(row.items()) if row else {}
