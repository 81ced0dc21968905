"""Confirm: dispatch the robots for a quote that the device accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.actions.dispatch import dispatch
from autogrocery.gateway.actions.release import release
from autogrocery.gateway.core.order import Decision, Order, Status, not_found, on_confirm
from autogrocery.gateway.core.switch import ALL_OFF
from autogrocery.gateway.store import orders, transitions
from autogrocery.kit.errors import InDoubt

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.switch import Switches
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.order_store import OrderStore


class ConfirmResult(Struct, frozen=True):
    """The order after a confirm; `in_doubt`: a call to inventory is still owed (202), else all is done (200)."""

    order: Order
    in_doubt: bool


async def confirm(
    store: OrderStore,
    inventory: Inventory,
    metrics: Metrics,
    user_id: int,
    order_id: UUID,
    *,
    switches: Switches = ALL_OFF,
) -> ConfirmResult:
    """Dispatch the device's order. While dispatch is paused, an open quote is refused before anything is promised.

    In doubt: the intent is committed, and the sweeper makes the call again. Raises NotFound, Conflict and Gone as in
    docs/CONTRACT.md#confirm-and-cancel, Unavailable, and InDoubt if an expiry began meanwhile and inventory does not
    say either whether robots have the order.
    """
    order = None if switches.dispatch_paused else store.cache.get(order_id)  # paused: another gateway's intent counts
    if order is None or order.user_id != user_id or order.status is not Status.PREVIEWED:
        order = await orders.get_of_device(store.db, order_id, user_id)
    if order is None:
        raise not_found()
    if on_confirm(order) is Decision.ACT:
        if order.intent is None:
            switches.require_dispatch()
        try:
            order = await dispatch(store, inventory, metrics, order)
        except InDoubt:
            await transitions.promise_dispatch(store, order_id)
            order = await orders.get(store.db, order_id)
            if order is None:  # a failover has lost the row that the cache still had
                raise not_found() from None
            if order.releasing and order.release_as is Status.EXPIRED:  # whether it has expired is inventory's to say
                order = await release(store, inventory, metrics, order)
    return ConfirmResult(order, in_doubt=on_confirm(order) is not Decision.DONE)
