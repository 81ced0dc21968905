"""Let go of an order: the call that a RELEASE intent owes, by request and by sweeper alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.store import moves, orders
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db

LEASE_S = 2.5  # for which the sweeper leaves a fresh release to the request that promised it


async def release(db: Db, inventory: Inventory, metrics: Metrics, order: Order) -> Order:
    """Ask inventory to release, then commit what it says: the terminal status, or PROCESSING if robots have the order.

    `order` owes a release. Returns the order afresh. Raises InDoubt (the intent stays, the sweeper goes on) and Unavailable.
    """
    assert order.release_as is not None
    released = await inventory.release(order.order_id, order.release_as, order.release_cause)
    if released:
        change = await moves.mark_released(db, order.order_id, number=metrics.take())
    else:
        change = await moves.mark_unreleasable(db, order.order_id, order.version, number=metrics.take())
    if change:
        await metrics.tell([change])
        log.info(
            "order_released" if released else "release_overtaken", order_id=str(order.order_id), status=change.to_status
        )
    return await orders.get(db, order.order_id) or order
