"""Confirm: the device wants what was quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.dispatch import dispatch
from autogrocery.gateway.core.order import Next, Order, Status, not_found, on_confirm
from autogrocery.gateway.store import hints, moves, orders
from autogrocery.kit.errors import InDoubt

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db


async def confirm(db: Db, inventory: Inventory, metrics: Metrics, user_id: int, order_id: UUID) -> tuple[Order, bool]:
    """Dispatch the device's order; returns it, and whether it is settled (200) or still in doubt (202).

    In doubt means: the promise is committed, the sweeper keeps it. Raises what CONTRACT §2.1 answers, and Unavailable.
    """
    order = hints.recall(db, order_id)
    if order is None or order.user_id != user_id or order.status is not Status.PREVIEWED:
        order = await orders.get_of_device(db, order_id, user_id)
    if order is None:
        raise not_found()
    if on_confirm(order) is Next.ACT:
        try:
            order = await dispatch(db, inventory, metrics, order)
        except InDoubt:
            hints.forget(db, order_id)
            await moves.promise_dispatch(db, order_id)
            order = await orders.get(db, order_id)
            if order is None:  # a failover has lost the row that was remembered here
                raise not_found() from None
    return order, on_confirm(order) is Next.DONE
