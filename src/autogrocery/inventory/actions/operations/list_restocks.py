"""List deliveries, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store.operations import deliveries

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.store.operations.deliveries import DeliveryView
    from autogrocery.kit.pg.db import Db


async def list_restocks(db: Db, state: str, supplier_id: str, cursor: UUID | None, limit: int) -> list[DeliveryView]:
    """Return at most `limit` deliveries before the delivery `cursor`; an empty `state` or `supplier_id` means any."""
    return await deliveries.list_deliveries(db, state, supplier_id, cursor, limit)
