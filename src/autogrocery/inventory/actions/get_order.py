"""Return an order's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import orders

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.core.picking import OrderProgress
    from autogrocery.kit.pg.db import Db


async def get_order(db: Db, order_id: UUID) -> OrderProgress | None:
    """Return an order's committed state and picks; None if unknown (K5, docs/PROTOCOL.md#what-a-peer-promises)."""
    return await orders.get(db, order_id)
