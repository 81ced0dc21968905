"""Sweep: make the call that an order still owes inventory, with the functions that a request uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.dispatch import dispatch, give_up
from autogrocery.gateway.actions.release import release
from autogrocery.gateway.core.order import Cause, Intent
from autogrocery.gateway.store import orders

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Due, Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore


async def sweep(
    store: OrderStore, inventory: Inventory, metrics: Metrics, due: Due, *, give_up_after_s: float
) -> Order | None:
    """Dispatch or release, as the row's intent says; a dispatch owed for longer than `give_up_after_s` fails the order.

    Returns the order, or None if it owes nothing any more. Raises InDoubt and Unavailable: the order is claimed again
    later.
    """
    order = await orders.get(store.db, due.order_id)
    if order is None or order.intent is None:
        return None
    if order.intent is Intent.RELEASE:
        return await release(store, inventory, metrics, order)
    if due.owed_s > give_up_after_s:
        return await give_up(store, inventory, metrics, order, Cause.DISPATCH_TIMED_OUT)
    return await dispatch(store, inventory, metrics, order)
