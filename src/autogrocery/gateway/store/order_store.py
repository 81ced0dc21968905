"""What a change of an order's row needs: the database, this process's cache of orders, and the alert policy."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct, field

from autogrocery.gateway.core.alert_policy import AlertPolicy
from autogrocery.gateway.core.order import Order, Status

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

MAX_ENTRIES = 4_096
MAX_IDLE_PREVIEWS = 16  # of one device; a single one makes its quota due for a look-up, so more may be dropped


def now_s() -> float:
    """Return the event loop's clock. Read it before a write is sent, so that no entry outlasts its quote."""
    return asyncio.get_running_loop().time()


class CachedOrder(Struct, frozen=True):
    """An order as this process wrote it last; while PREVIEWED it is valid until `valid_until_s` of the loop's clock."""

    order: Order
    valid_until_s: float


class OrderCache:
    """The last orders that this process wrote. An entry saves a read; it never decides.

    A caller that acts on an entry ends in a guarded write, and reads the row when that write changes nothing. The
    functions in `store` that change a row replace or drop its entry. Two gateways share no entries; a restarted one
    has none.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        """Keep up to `max_entries` orders, and the idle previews of as many devices; the oldest are dropped first."""
        self._orders: OrderedDict[UUID, CachedOrder] = OrderedDict()
        self._idle: OrderedDict[int, set[UUID]] = OrderedDict()  # order ids of idle previews, by user id
        self._max_entries = max_entries

    def put(self, order: Order, valid_until_s: float = 0.0) -> None:
        """Store an order as it was just written."""
        self._orders[order.order_id] = CachedOrder(order, valid_until_s)
        self._orders.move_to_end(order.order_id)
        if len(self._orders) > self._max_entries:
            self._orders.popitem(last=False)
        if order.status is not Status.PREVIEWED and (idle := self._idle.get(order.user_id)) is not None:
            idle.discard(order.order_id)

    def get(self, order_id: UUID) -> Order | None:
        """Return the order as this process last wrote it; None if it did not, or if the quote may have expired."""
        found = self._orders.get(order_id)
        if found is None or (found.order.status is Status.PREVIEWED and now_s() >= found.valid_until_s):
            return None
        return found.order

    def drop(self, order_id: UUID) -> None:
        """Remove the order's entry, if there is one."""
        self._orders.pop(order_id, None)

    def may_exceed_quota(self, user_id: int, order_id: UUID) -> bool:
        """Add a device's new preview; False if the device surely has no other idle one.

        A device that spreads its previews over several gateways may so keep one more at each.
        """
        idle = self._idle.get(user_id)
        known = idle if idle is not None and len(idle) < MAX_IDLE_PREVIEWS else set()
        self._idle[user_id] = {*known, order_id}
        self._idle.move_to_end(user_id)
        if len(self._idle) > self._max_entries:
            self._idle.popitem(last=False)
        return idle is None or bool(idle)


class OrderStore(Struct, frozen=True):
    """The database, the cache of the orders written through it, and the policy for alerts that writes add."""

    db: Db
    cache: OrderCache = field(default_factory=OrderCache)
    alerts: AlertPolicy = AlertPolicy()
