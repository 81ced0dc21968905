"""Expire: a quote whose time is over gives its stock back. Late is fine, early is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.release import LEASE_S, release
from autogrocery.gateway.core.order import Cause, Status
from autogrocery.gateway.store import hints, moves, orders

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db


async def expire(db: Db, inventory: Inventory, metrics: Metrics, order_id: UUID) -> Order | None:
    """Release an idle order past its `expires_at`; None if it is not one (any more). Raises InDoubt and Unavailable."""
    return await release_idle(db, inventory, metrics, order_id, Status.EXPIRED, Cause.HOLD_EXPIRED)


async def release_idle(
    db: Db,
    inventory: Inventory,
    metrics: Metrics,
    order_id: UUID,
    release_as: Status,
    cause: Cause,
) -> Order | None:
    """Release an order in which nothing is under way, unasked, or go on with its release; None if something else is.

    Raises InDoubt and Unavailable.
    """
    hints.forget(db, order_id)
    promised = await moves.promise_release_idle(db, order_id, release_as, cause, lease_s=LEASE_S)
    order = await orders.get(db, order_id)
    if order is not None and order.releasing:
        return await release(db, inventory, metrics, order)
    return order if promised else None
