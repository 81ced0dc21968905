"""Dispatch: assign robots to an order. The request and the sweeper call the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.release import RELEASE_LEASE_S, release
from autogrocery.gateway.core.order import Cause, Status, not_found
from autogrocery.gateway.store import orders, transitions
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore


async def dispatch(store: OrderStore, inventory: Inventory, metrics: Metrics, order: Order) -> Order:
    """Ask inventory to assign robots and commit PROCESSING. `order` is PREVIEWED and has no RELEASE intent.

    If inventory refuses, the order is released as FAILED at once. Returns the order as it is then. Raises NotFound if
    the row is gone, InDoubt if inventory gives no clear answer, Unavailable if the database gives none; the same call
    is then made again, which is safe: inventory dispatches an order once.
    """
    robots = await inventory.assign_robots(order.order_id, order.lines)
    if robots is None:
        return await give_up(store, inventory, metrics, order, Cause.NO_ROBOTS)
    number = metrics.reserve_numbers()
    dispatched = await transitions.mark_dispatched(store, order, robots, number=number)
    if dispatched is None:
        return await _follow_other_caller(store, inventory, metrics, order)
    await metrics.publish([dispatched.change])
    log.info("order_dispatched", order_id=str(order.order_id), robots=len(robots))
    return dispatched.order


async def give_up(store: OrderStore, inventory: Inventory, metrics: Metrics, order: Order, cause: Cause) -> Order:
    """Release a PREVIEWED order as FAILED; if an earlier dispatch has succeeded, it becomes PROCESSING instead."""
    await transitions.promise_release(store, order.order_id, Status.FAILED, cause, lease_s=RELEASE_LEASE_S)
    return await _follow_other_caller(store, inventory, metrics, order)


async def _follow_other_caller(store: OrderStore, inventory: Inventory, metrics: Metrics, order: Order) -> Order:
    """Read the order; if it owes a release, make that call: inventory's answer to it decides which caller won."""
    fresh = await orders.get(store.db, order.order_id)
    if fresh is None:  # a failover has lost the row that the cache still had
        raise not_found()
    if fresh.releasing:
        return await release(store, inventory, metrics, fresh)
    return fresh
