"""Cancel: the device does not want it any more, and robots may have it already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.confirm import not_found
from autogrocery.gateway.actions.release import LEASE_S, release
from autogrocery.gateway.core.order import Cause, Next, Order, Status, on_cancel, too_late
from autogrocery.gateway.store import moves, orders
from autogrocery.kit.refusals import InDoubt

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg import Db


async def cancel(db: Db, inventory: Inventory, metrics: Metrics, user_id: int, order_id: UUID) -> tuple[Order, bool]:
    """Release the device's order as CANCELLED; returns it, and whether it is settled (200) or still releasing (202).

    Raises what CONTRACT §2.1 answers, and Unavailable.
    """
    order = await orders.get_of_device(db, order_id, user_id)
    if order is None:
        raise not_found()
    if on_cancel(order) is Next.ACT:
        await moves.promise_release(db, order_id, Status.CANCELLED, Cause.CANCELLED, lease_s=LEASE_S)
        order = await orders.get(db, order_id) or order
        if order.releasing:
            try:
                order = await release(db, inventory, metrics, order)
            except InDoubt:
                return order, False
            if order.status is Status.PROCESSING and not order.releasing:
                raise too_late()
    return order, on_cancel(order) is Next.DONE
