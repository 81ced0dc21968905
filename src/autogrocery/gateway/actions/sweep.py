"""Sweep: make the call that an order still owes inventory. The same functions as the request's, with nobody waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.dispatch import dispatch, give_up
from autogrocery.gateway.actions.release import release
from autogrocery.gateway.core.order import Cause, Intent
from autogrocery.gateway.store import orders

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.due import Due
    from autogrocery.kit.pg.db import Db


async def sweep(db: Db, inventory: Inventory, metrics: Metrics, due: Due, *, patience_s: float) -> Order | None:
    """Dispatch or release, as the row's intent says; a dispatch owed for longer than `patience_s` is given up.

    Returns the order, or None if it owed nothing any more. Raises InDoubt and Unavailable: claimed again later.
    """
    order = await orders.get(db, due.order_id)
    if order is None or order.intent is None:
        return None
    if order.intent is Intent.RELEASE:
        return await release(db, inventory, metrics, order)
    if due.owed_s > patience_s:
        return await give_up(db, inventory, metrics, order, Cause.PATIENCE_OVER)
    return await dispatch(db, inventory, metrics, order)
