"""Diagnose what is stuck: from the database alone, with the causes and the safe actions of core/diagnosis.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.attention import AttentionItem
from autogrocery.gateway.core.diagnosis import (
    OrderFacts,
    RestockFacts,
    diagnose_dead_alert,
    diagnose_dead_receipt,
    diagnose_order,
    diagnose_restock,
)
from autogrocery.gateway.store.ops import due_now, stuck
from autogrocery.kit.errors import NotFound

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.contracts.ops.attention import Diagnosis
    from autogrocery.gateway.store.ops.due_now import LetterRow
    from autogrocery.gateway.store.ops.stuck import StuckRow
    from autogrocery.kit.pg.db import Db

OWED_FOR_S = 5.0  # longer than a call and its first repetitions take
LISTED = 1_000  # of each kind


async def diagnose_all(db: Db) -> list[AttentionItem]:
    """Return the orders, restocks, receipts and alerts that are stuck: of each kind the oldest LISTED.

    Raises Unavailable.
    """
    orders = [_order(one) for one in await stuck.list_orders(db, OWED_FOR_S, LISTED)]
    restocks = [_restock(one) for one in await stuck.list_restocks(db, OWED_FOR_S, LISTED)]
    letters = [_letter(one) for one in await due_now.list_dead(db, kind=None, before=None, limit=LISTED)]
    return [*orders, *restocks, *letters]


async def diagnose_one(db: Db, order_id: UUID) -> AttentionItem:
    """Return why an order or restock is where it is; raises NotFound(order_not_found) and Unavailable."""
    if (order := await stuck.get_order(db, order_id)) is not None:
        return _order(order)
    if (restock := await stuck.get_restock(db, order_id)) is not None:
        return _restock(restock)
    raise NotFound("order_not_found", f"no order or restock {order_id}")


def _order(row: StuckRow) -> AttentionItem:
    found = diagnose_order(OrderFacts(row.status, row.intent, row.attention, row.overdue))
    return AttentionItem("order", str(row.order_id), row.since, found.cause, found.words, found.actions)


def _restock(row: StuckRow) -> AttentionItem:
    found = diagnose_restock(RestockFacts(row.status, row.intent, row.attention))
    return AttentionItem("restock", str(row.order_id), row.since, found.cause, found.words, found.actions)


def _letter(row: LetterRow) -> AttentionItem:
    found: Diagnosis
    if row.kind == "receipts":
        found = diagnose_dead_receipt(row.last_error)
        return AttentionItem("receipt", str(row.order_id), row.dead_at, found.cause, found.words, found.actions)
    found = diagnose_dead_alert(row.last_error)
    return AttentionItem("alert", str(row.order_id), row.dead_at, found.cause, found.words, found.actions)
