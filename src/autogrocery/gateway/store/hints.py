"""What this process remembers of orders that it wrote: hints that save a read, never the truth.

Whoever acts on a hint ends in a guarded write, which has the last word, and reads when it says no. Two gateways do not share
their hints, and one that was restarted has none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import Order, Status

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


MOST_IDLE = 16  # of one device; one is enough to look its quota up, so others may be forgotten


class Seen(Struct, frozen=True):
    """An order as this process left it; as PREVIEWED good until `until_s` of the loop's clock."""

    order: Order
    until_s: float


def now_s() -> float:
    """Return the loop's clock; read it before a statement is sent, so that no quote seems to last longer than it does."""
    return asyncio.get_running_loop().time()


def keep(db: Db, order: Order, until_s: float = 0.0) -> None:
    """Remember an order as it was just written."""
    db.recent.keep(order.order_id, Seen(order, until_s))
    idle = db.recent.get(order.user_id)
    if idle is not None and order.status is not Status.PREVIEWED:
        idle.discard(order.order_id)


def recall(db: Db, order_id: UUID) -> Order | None:
    """Return the order as this process last wrote it; None if it did not, or if the quote may be over."""
    seen = db.recent.get(order_id)
    if seen is None or (seen.order.status is Status.PREVIEWED and now_s() >= seen.until_s):
        return None
    return seen.order  # type: ignore[no-any-return]


def forget(db: Db, order_id: UUID) -> None:
    """Remember the order no longer."""
    db.recent.forget(order_id)


def may_hoard(db: Db, user_id: int, order_id: UUID) -> bool:
    """Note a device's new quote; False if this process knows of no other idle one, so that its quota need not be looked up.

    A device that spreads its quotes over many gateways may so keep one at each.
    """
    idle: set[UUID] | None = db.recent.get(user_id)
    known = idle if idle is not None and len(idle) < MOST_IDLE else set()
    db.recent.keep(user_id, {*known, order_id})
    return idle is None or bool(idle)
