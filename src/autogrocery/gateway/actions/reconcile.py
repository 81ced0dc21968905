"""Reconcile: robots have had an order for too long without news. Ask inventory; a lost webhook never matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.release import LEASE_S, release
from autogrocery.gateway.core.order import Cause, Fact, Intent, Status
from autogrocery.gateway.peers.inventory import State
from autogrocery.gateway.store import due, moves, orders
from autogrocery.kit.errors import Invalid
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db

FACTS = {State.COMPLETED: Fact.PICKED, State.FAILED: Fact.NOTHING_PICKED}


async def reconcile(
    db: Db, inventory: Inventory, metrics: Metrics, order_id: UUID, *, alert_completed: bool = False
) -> None:
    """Bring a PROCESSING order to what inventory says, by the webhook's own code; a contradiction asks for attention.

    Raises InDoubt and Unavailable: claimed again later.
    """
    standing = await inventory.get_order(order_id)
    if standing.state in FACTS:
        try:
            await complete(
                db,
                inventory,
                metrics,
                order_id,
                FACTS[standing.state],
                picked=standing.picked or None,
                alert_completed=alert_completed,
            )
        except Invalid:
            log.error("order_contradicted", order_id=str(order_id), state=standing.state)
            await due.flag(db, order_id, "inventory says that robots picked what is not in this order")
            return
        log.info("order_reconciled", order_id=str(order_id), state=standing.state)
    elif standing.state is State.RELEASED and await _was_cancelled(db, inventory, metrics, order_id):
        log.info("order_reconciled", order_id=str(order_id), state=standing.state)
    elif standing.state is not State.ASSIGNED:
        log.error("order_contradicted", order_id=str(order_id), state=standing.state)
        await due.flag(db, order_id, f"robots have it, but inventory says {standing.state}")


async def _was_cancelled(db: Db, inventory: Inventory, metrics: Metrics, order_id: UUID) -> bool:
    """Repeat the release of an order whose row remembers a cancel; False if it remembers none: then nobody guesses."""
    order = await orders.get(db, order_id)
    if order is None or order.release_as is not Status.CANCELLED:
        return False
    await moves.promise_release(db, order_id, Status.CANCELLED, Cause.CANCELLED, lease_s=LEASE_S)
    await release(db, inventory, metrics, msgspec.structs.replace(order, intent=Intent.RELEASE))
    return True
