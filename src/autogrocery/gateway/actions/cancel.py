"""Cancel: the device does not want it any more, and robots may have it already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.release import LEASE_S, release
from autogrocery.gateway.core.order import Cause, Next, Order, Status, not_found, on_cancel, too_late
from autogrocery.gateway.store import hints, moves, orders
from autogrocery.kit.errors import InDoubt, Unavailable

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db

TURNS = 4  # how often somebody else may be faster


async def cancel(db: Db, inventory: Inventory, metrics: Metrics, user_id: int, order_id: UUID) -> tuple[Order, bool]:
    """Release the device's order as CANCELLED; returns it, and whether it is settled (200) or still releasing (202).

    Raises what CONTRACT §2.1 answers, and Unavailable.
    """
    order = await orders.get_of_device(db, order_id, user_id)
    if order is None:
        raise not_found()
    for _ in range(TURNS):
        if on_cancel(order) is not Next.ACT:
            return order, on_cancel(order) is Next.DONE
        hints.forget(db, order_id)
        await moves.promise_release(db, order_id, Status.CANCELLED, Cause.CANCELLED, lease_s=LEASE_S)
        order = await orders.get(db, order_id) or order
        if not order.releasing:
            continue  # somebody was faster, and is done: by the table, from this fresh read
        asked_as = order.release_as
        try:
            order = await release(db, inventory, metrics, order)
        except InDoubt:
            return order, False
        if asked_as is Status.CANCELLED and order.status is Status.PROCESSING and not order.releasing:
            raise too_late()  # what was asked for an expiry says nothing of a cancel
    raise Unavailable("order_busy", "the order changed again and again")
