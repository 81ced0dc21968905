"""Hand an order to the robots: the centre of the gateway, by request and by sweeper alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.gateway.actions.release import LEASE_S, release
from autogrocery.gateway.core.order import Cause, Status, not_found
from autogrocery.gateway.store import hints, moves, orders
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db


async def dispatch(db: Db, inventory: Inventory, metrics: Metrics, order: Order) -> Order:
    """Send the robots, once, whatever dies on the way. `order` is PREVIEWED and not being released.

    Inventory refuses: released as FAILED in the same breath. Returns the order afresh. Raises NotFound if the row is gone,
    InDoubt if inventory gives no clear answer, and Unavailable if the database gives none; then nothing is settled and the same
    call is made again.
    """
    robots = await inventory.assign_robots(order.order_id, order.lines)
    if robots is None:
        return await give_up(db, inventory, metrics, order, Cause.NO_ROBOTS)
    number = metrics.take()
    change = await moves.mark_dispatched(db, order.order_id, robots, number=number)
    if change is None:
        return await _overtaken(db, inventory, metrics, order)
    await metrics.tell([change])
    log.info("order_dispatched", order_id=str(order.order_id), robots=len(robots))
    dispatched = msgspec.structs.replace(
        order,
        status=Status.PROCESSING,
        intent=None,
        version=change.version,
        robots=robots,
        confirmed_at=change.confirmed_at,
        dispatched_at=change.at,
    )
    hints.keep(db, dispatched)
    return dispatched


async def give_up(db: Db, inventory: Inventory, metrics: Metrics, order: Order, cause: Cause) -> Order:
    """Release a PREVIEWED order as FAILED; an earlier attempt that got through after all makes it PROCESSING instead."""
    hints.forget(db, order.order_id)
    await moves.promise_release(db, order.order_id, Status.FAILED, cause, lease_s=LEASE_S)
    return await _overtaken(db, inventory, metrics, order)


async def _overtaken(db: Db, inventory: Inventory, metrics: Metrics, order: Order) -> Order:
    """Read the order afresh, and if it owes a release, make that call: only its answer says how the race ended."""
    hints.forget(db, order.order_id)
    fresh = await orders.get(db, order.order_id)
    if fresh is None:  # a failover has lost the row that is remembered here
        raise not_found()
    if fresh.releasing:
        return await release(db, inventory, metrics, fresh)
    return fresh
