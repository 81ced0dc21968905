"""View what needs a person: why, since when, and what is safe to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.attention import AttentionItem, AttentionOut
from autogrocery.gateway.actions.ops.diagnose import dead_letter_item, item, order_item, restock_item
from autogrocery.gateway.actions.ops.view_invariants import view_invariants
from autogrocery.gateway.actions.ops.view_peers import view_peers
from autogrocery.gateway.core.diagnosis import OrderFacts, RestockFacts, Why, diagnose_switch, explain
from autogrocery.gateway.store.ops import attention, overview, switches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.contracts.ops.overview import InvariantsOut, PeerOut
    from autogrocery.gateway.actions.ops.cached import OpsCaches
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.inventory_operations import InventoryOperations
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.store.ops.attention import DeadLetter, Flagged
    from autogrocery.gateway.store.ops.switches import SwitchState
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.process.background import BackgroundTasks


async def view_attention(
    db: Db,
    inventory: Inventory,
    pricing: Pricing,
    operations: InventoryOperations,
    caches: OpsCaches,
    background: BackgroundTasks,
    *,
    limit: int,
) -> AttentionOut:
    """Return up to `limit` items of each kind, oldest first within a kind. Raises Unavailable."""
    flagged = await attention.list_flagged(db, limit)
    dead = await attention.list_dead(db, limit)
    outboxes = await overview.count_outboxes(db)
    rows = [*map(_flagged, flagged), *map(_dead, dead)]
    active = [one for one in await switches.list_set(db) if one.on]
    invariants = view_invariants(db, operations, caches.audits, background)
    others = list_others(view_peers(inventory, pricing), invariants, active)
    total = await attention.count_flagged(db) + outboxes["receipts"].dead + outboxes["alerts"].dead + len(others)
    return AttentionOut([*others, *rows], total)


def list_others(
    peers: Iterable[PeerOut], invariants: InvariantsOut, active: Iterable[SwitchState]
) -> list[AttentionItem]:
    """Return what needs a person beside rows: peers that are down, switches that are on, violated invariants.

    An invariant that counts flagged rows is told by these rows.
    """
    return [
        *(
            item("peer", peer.name, peer.since, explain(Why.PEER_DOWN, peer.last_error or ""))
            for peer in peers
            if peer.state == "down"
        ),
        *(item("switch", one.name, one.changed_at, diagnose_switch(one.reason, one.until)) for one in active),
        *(
            item("invariant", one.name, one.checked_at, explain(Why.INVARIANT_VIOLATED, one.sentence))
            for one in invariants.data
            if one.violations and not one.name.endswith("asks_for_attention")
        ),
    ]


def _flagged(one: Flagged) -> AttentionItem:
    if one.kind == "restock":
        return restock_item(one.order_id, one.since, RestockFacts(one.status, one.intent, one.attention))
    return order_item(one.order_id, one.since, OrderFacts(one.status, one.intent, one.attention))


def _dead(one: DeadLetter) -> AttentionItem:
    return dead_letter_item(one.order_id, one.dead_at, one.last_error, is_alert=one.kind == "alert")
