"""Reconcile: ask inventory about an order that is PROCESSING for too long, in case its webhook was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.release import RELEASE_LEASE_S, release
from autogrocery.gateway.core.order import Cause, Fact, Intent, Status
from autogrocery.gateway.peers.inventory import OrderState
from autogrocery.gateway.store import due, orders, transitions
from autogrocery.kit.errors import Invalid
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore

FACTS = {OrderState.COMPLETED: Fact.PICKED, OrderState.FAILED: Fact.NOTHING_PICKED}


async def reconcile(store: OrderStore, inventory: Inventory, metrics: Metrics, order_id: UUID) -> None:
    """Bring a PROCESSING order to inventory's state of it, by the webhook's own code; flag it on a contradiction.

    Raises InDoubt and Unavailable: the order is claimed again later, and flagged if that never ends.
    """
    report = await inventory.get_order(order_id)
    if report.state in FACTS:
        try:
            await complete(store, inventory, metrics, order_id, FACTS[report.state], picked=report.picked or None)
        except Invalid:
            log.error("order_contradicted", order_id=str(order_id), state=report.state)
            await due.flag(store.db, order_id, "inventory says that robots picked what is not in this order")
            return
        log.info("order_reconciled", order_id=str(order_id), state=report.state)
    elif report.state is OrderState.RELEASED and await _repeat_cancel(store, inventory, metrics, order_id):
        log.info("order_reconciled", order_id=str(order_id), state=report.state)
    elif report.state is OrderState.ASSIGNED:
        await due.note_answer(store.db, order_id)
    else:
        log.error("order_contradicted", order_id=str(order_id), state=report.state)
        await due.flag(store.db, order_id, f"robots have it, but inventory says {report.state}")


async def _repeat_cancel(store: OrderStore, inventory: Inventory, metrics: Metrics, order_id: UUID) -> bool:
    """Repeat the release of an order whose row records a cancel; False if it records none: no cancel is guessed."""
    order = await orders.get(store.db, order_id)
    if order is None or order.release_as is not Status.CANCELLED:
        return False
    await transitions.promise_release(store, order_id, Status.CANCELLED, Cause.CANCELLED, lease_s=RELEASE_LEASE_S)
    await release(store, inventory, metrics, msgspec.structs.replace(order, intent=Intent.RELEASE))
    return True
