"""Cancel: release the device's order, unless robots have started on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.actions.release import RELEASE_LEASE_S, release
from autogrocery.gateway.core.order import Cause, Decision, Order, Status, not_found, on_cancel, too_late
from autogrocery.gateway.store import orders, transitions
from autogrocery.kit.errors import InDoubt, Unavailable

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore

MAX_ATTEMPTS = 4  # each one means that another caller has changed the order meanwhile


class CancelResult(Struct, frozen=True):
    """The order after a cancel; `in_doubt`: a call to inventory is still owed (202), else all is done (200)."""

    order: Order
    in_doubt: bool


async def cancel(
    store: OrderStore, inventory: Inventory, metrics: Metrics, user_id: int, order_id: UUID
) -> CancelResult:
    """Release the device's order as CANCELLED.

    In doubt: the intent is committed, and the sweeper makes the call again. Raises NotFound, Conflict and Gone as in
    docs/CONTRACT.md#confirm-and-cancel, and Unavailable.
    """
    order = await orders.get_of_device(store.db, order_id, user_id)
    if order is None:
        raise not_found()
    for _ in range(MAX_ATTEMPTS):
        if (decision := on_cancel(order)) is not Decision.ACT:
            return CancelResult(order, in_doubt=decision is not Decision.DONE)
        await transitions.promise_release(store, order_id, Status.CANCELLED, Cause.CANCELLED, lease_s=RELEASE_LEASE_S)
        order = await orders.get(store.db, order_id) or order
        if not order.releasing:
            continue  # another caller was first, and has finished: decide again from this fresh read
        asked_as = order.release_as
        try:
            order = await release(store, inventory, metrics, order)
        except InDoubt:
            return CancelResult(order, in_doubt=True)
        if asked_as is Status.CANCELLED and order.status is Status.PROCESSING and not order.releasing:
            raise too_late()  # an answer to an expiry would decide nothing for a cancel
    raise Unavailable("order_busy", "the order changed again and again")
