"""Heal from the database alone: make a row due, so that the loops of a running gateway act on it within seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.contracts.ops.actions import ActionOut
from autogrocery.gateway.actions.ops.record_write import Write, Written, record_write
from autogrocery.gateway.actions.ops.replay_dead_letter import replay_dead_letter
from autogrocery.gateway.core.diagnosis import ActionName
from autogrocery.gateway.store.ops import due_now
from autogrocery.kit.errors import Conflict, NotFound

if TYPE_CHECKING:
    from autogrocery.contracts.ops.attention import AttentionItem
    from autogrocery.gateway.store.ops.due_now import RowState
    from autogrocery.kit.pg.db import Db

BY_LOOP = frozenset({ActionName.RETRY_DISPATCH, ActionName.RELEASE, ActionName.RECONCILE, ActionName.RETRY})


async def heal(db: Db, item: AttentionItem, operator: str, reason: str) -> ActionOut:
    """Take the first safe action of a diagnosis, logged as an operator's write.

    No new call is begun: a call that is owed, and the question to inventory, are only made earlier. An open quote is
    not released. Raises Conflict(nothing_to_do) if no action is safe or needed, what `record_write` raises, and
    Unavailable.
    """
    if not item.actions:
        raise Conflict("nothing_to_do", item.words)
    action, order_id = item.actions[0].name, UUID(item.id)
    write = Write(operator, action, f"{item.kind}:{order_id}", reason)
    if item.kind == "receipt":
        return (await replay_dead_letter(db, "receipts", order_id, write)).answer
    if item.kind == "alert" or action not in BY_LOOP:
        raise Conflict("nothing_to_do", item.words)
    before = await _read(db, item, order_id)

    async def run() -> Written[ActionOut]:
        if before.ended or (before.intent is None and before.status not in {"PROCESSING", "RECEIVING"}):
            raise Conflict("nothing_to_do", item.words)
        if before.intent is None and before.attention is not None:
            unflag = due_now.unflag_order if item.kind == "order" else due_now.unflag_restock
            await unflag(db, order_id, before.attention)
        hasten = due_now.hasten_order if item.kind == "order" else due_now.hasten_restock
        applied = await hasten(db, order_id)
        answer = ActionOut(applied, before.words, before.words, "A gateway acts on it within seconds.")
        return Written(answer, {"due": True})

    return (await record_write(db, write, ActionOut, {"status": before.status, "intent": before.intent}, run)).answer


async def _read(db: Db, item: AttentionItem, order_id: UUID) -> RowState:
    found = await (due_now.read_order if item.kind == "order" else due_now.read_restock)(db, order_id)
    if found is None:
        raise NotFound("order_not_found", f"no order or restock {order_id}")
    return found
