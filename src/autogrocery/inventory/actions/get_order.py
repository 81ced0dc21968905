"""Say where an order stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import orders

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.store.orders import Told
    from autogrocery.kit.pg.db import Db


async def get_order(db: Db, order_id: UUID) -> Told | None:
    """Return the committed truth about an order (K5); None if it was never heard of."""
    return await orders.get(db, order_id)
