"""Release an order's stock, and its robots if none has started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import orders

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


async def release_items(db: Db, order_id: UUID, *, cancel: bool) -> bool:
    """Free the order's stock and leave a tombstone (K2); False if it stays with the robots (K3).

    The tombstone refuses the order for ever; an unknown order gets one too. With `cancel`, a dispatch that no robot has
    started on is withdrawn. K2 and K3 are promises of docs/PROTOCOL.md#what-a-peer-promises.
    """
    return await orders.release(db, order_id, cancel=cancel)
