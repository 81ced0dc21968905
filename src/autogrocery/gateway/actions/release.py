"""Release: make the call that a RELEASE intent owes inventory. The request and the sweeper call the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.store import orders, transitions
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore

RELEASE_LEASE_S = 2.5  # for which the sweeper leaves a fresh RELEASE intent to the request that set it


async def release(store: OrderStore, inventory: Inventory, metrics: Metrics, order: Order) -> Order:
    """Ask inventory to release, then commit its answer: the terminal status, or PROCESSING if robots have the order.

    `order` has a RELEASE intent. Returns the order as it is then. Raises InDoubt and Unavailable: the intent stays,
    and the sweeper makes the call again.
    """
    assert order.release_as is not None
    released = await inventory.release(order.order_id, order.release_as, order.release_cause)
    number = metrics.reserve_numbers()
    if released:
        change = await transitions.mark_released(store, order.order_id, number=number)
    else:
        change = await transitions.mark_unreleasable(store, order.order_id, order.version, number=number)
    if change:
        await metrics.publish([change])
        log.info(
            "order_released" if released else "release_overtaken", order_id=str(order.order_id), status=change.to_status
        )
    return await orders.get(store.db, order.order_id) or order
