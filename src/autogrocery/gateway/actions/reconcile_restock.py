"""Reconcile a restock: ask inventory about one that is RECEIVING for too long, in case its webhook was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.update_restock import update_restock
from autogrocery.gateway.core.restock import RestockFact
from autogrocery.gateway.peers.inventory import RestockState
from autogrocery.gateway.store import due_restocks
from autogrocery.kit.errors import Invalid
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db

FACTS = {
    RestockState.RECEIVING: RestockFact.ACCEPTED,
    RestockState.RECEIVED: RestockFact.SHELVED,
    RestockState.REJECTED: RestockFact.REFUSED,
}


async def reconcile_restock(db: Db, inventory: Inventory, metrics: Metrics, order_id: UUID) -> None:
    """Bring a RECEIVING restock to inventory's state of it, by the webhook's own code; flag it on a contradiction.

    Raises InDoubt and Unavailable: the restock is claimed again later, and flagged if that never ends.
    """
    report = await inventory.get_restock(order_id)
    if report.state not in FACTS:
        log.error("restock_contradicted", order_id=str(order_id), state=report.state)
        await due_restocks.flag(db, order_id, f"inventory has accepted it, but says {report.state}")
        return
    try:
        await update_restock(db, metrics, order_id, FACTS[report.state], report.counts)
    except Invalid:
        log.error("restock_contradicted", order_id=str(order_id), state=report.state)
        await due_restocks.flag(db, order_id, "inventory's counts do not fit this manifest")
        return
    if report.state is RestockState.RECEIVING:
        await due_restocks.note_answer(db, order_id)
