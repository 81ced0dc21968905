"""View what needs a person: why, since when, and what is safe to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.attention import AttentionItem, AttentionKind, AttentionOut, Diagnosis
from autogrocery.gateway.actions.ops.view_invariants import view_invariants
from autogrocery.gateway.actions.ops.view_peers import view_peers
from autogrocery.gateway.core.diagnosis import (
    OrderFacts,
    RestockFacts,
    Why,
    diagnose_dead_alert,
    diagnose_dead_receipt,
    diagnose_order,
    diagnose_restock,
    explain,
)
from autogrocery.gateway.store.ops import attention, overview

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.gateway.actions.ops.cached import OpsCaches
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.store.ops.attention import DeadLetter, Flagged
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.background import BackgroundTasks


async def view_attention(
    db: Db, inventory: Inventory, pricing: Pricing, caches: OpsCaches, background: BackgroundTasks, *, limit: int
) -> AttentionOut:
    """Return up to `limit` items of each kind, oldest first within a kind. Raises Unavailable."""
    flagged = await attention.list_flagged(db, limit)
    dead = await attention.list_dead(db, limit)
    outboxes = await overview.count_outboxes(db)
    rows = [*map(_flagged, flagged), *map(_dead, dead)]
    others = [*_peers(inventory, pricing), *_invariants(db, caches, background)]
    total = await attention.count_flagged(db) + outboxes["receipts"].dead + outboxes["alerts"].dead + len(others)
    return AttentionOut([*others, *rows], total)


def _flagged(one: Flagged) -> AttentionItem:
    if one.kind == "restock":
        found = diagnose_restock(RestockFacts(one.status, one.intent, one.attention))
        return _item("restock", str(one.order_id), one.since, found)
    return _item(
        "order", str(one.order_id), one.since, diagnose_order(OrderFacts(one.status, one.intent, one.attention))
    )


def _dead(one: DeadLetter) -> AttentionItem:
    if one.kind == "alert":
        return _item("alert", str(one.order_id), one.dead_at, diagnose_dead_alert(one.last_error))
    return _item("receipt", str(one.order_id), one.dead_at, diagnose_dead_receipt(one.last_error))


def _peers(inventory: Inventory, pricing: Pricing) -> list[AttentionItem]:
    return [
        _item("peer", peer.name, peer.since, explain(Why.PEER_DOWN, peer.last_error or ""))
        for peer in view_peers(inventory, pricing)
        if peer.state == "down"
    ]


def _invariants(db: Db, caches: OpsCaches, background: BackgroundTasks) -> list[AttentionItem]:
    """Return the violated invariants; those that count flagged rows are told by these rows."""
    found = view_invariants(db, caches.audit, background)
    return [
        _item("invariant", one.name, found.checked_at, explain(Why.INVARIANT_VIOLATED, one.sentence))
        for one in found.data
        if one.violations and not one.name.endswith("asks_for_attention")
    ]


def _item(kind: AttentionKind, name: str, since: datetime | None, found: Diagnosis) -> AttentionItem:
    return AttentionItem(kind, name, since, found.cause, found.words, found.actions)
