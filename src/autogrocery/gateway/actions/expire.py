"""Expire: release the stock of a quote after its `expires_at`. It may come late, never early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.release import RELEASE_LEASE_S, release
from autogrocery.gateway.core.order import Cause, Status
from autogrocery.gateway.store import orders, transitions

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore


async def expire(store: OrderStore, inventory: Inventory, metrics: Metrics, order_id: UUID) -> Order | None:
    """Release an idle order past its `expires_at`; None if it is not one (any more). Raises InDoubt and Unavailable."""
    return await release_idle(store, inventory, metrics, order_id, Status.EXPIRED, Cause.HOLD_EXPIRED)


async def release_idle(
    store: OrderStore,
    inventory: Inventory,
    metrics: Metrics,
    order_id: UUID,
    release_as: Status,
    cause: Cause,
) -> Order | None:
    """Release a PREVIEWED order that has no intent, or continue its release; None if a dispatch or nothing is owed.

    Raises InDoubt and Unavailable.
    """
    promised = await transitions.promise_release_idle(store, order_id, release_as, cause, lease_s=RELEASE_LEASE_S)
    order = await orders.get(store.db, order_id)
    if order is not None and order.releasing:
        return await release(store, inventory, metrics, order)
    return order if promised else None
