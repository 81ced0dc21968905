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
    from datetime import datetime
    from uuid import UUID

    from autogrocery.contracts.ops.attention import AttentionKind, Diagnosis
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


def order_item(order_id: UUID, since: datetime | None, facts: OrderFacts) -> AttentionItem:
    """Return what an order needs."""
    return item("order", str(order_id), since, diagnose_order(facts))


def restock_item(order_id: UUID, since: datetime | None, facts: RestockFacts) -> AttentionItem:
    """Return what a restock needs."""
    return item("restock", str(order_id), since, diagnose_restock(facts))


def dead_letter_item(order_id: UUID, dead_at: datetime, last_error: str | None, *, is_alert: bool) -> AttentionItem:
    """Return what a dead receipt or alert needs."""
    if is_alert:
        return item("alert", str(order_id), dead_at, diagnose_dead_alert(last_error))
    return item("receipt", str(order_id), dead_at, diagnose_dead_receipt(last_error))


def item(kind: AttentionKind, name: str, since: datetime | None, found: Diagnosis) -> AttentionItem:
    """Return a diagnosis with what it is about."""
    return AttentionItem(kind, name, since, found.cause, found.words, found.actions)


def _order(row: StuckRow) -> AttentionItem:
    return order_item(row.order_id, row.since, OrderFacts(row.status, row.intent, row.attention, row.overdue))


def _restock(row: StuckRow) -> AttentionItem:
    return restock_item(row.order_id, row.since, RestockFacts(row.status, row.intent, row.attention))


def _letter(row: LetterRow) -> AttentionItem:
    return dead_letter_item(row.order_id, row.dead_at, row.last_error, is_alert=row.kind == "alerts")
