"""Say how far a delivery has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import restocks

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.store.restocks import Restock
    from autogrocery.kit.pg.db import Db


async def get_restock(db: Db, order_id: UUID) -> Restock | None:
    """Return the committed truth about a delivery, with its totals so far (K5); None if it was never heard of."""
    return await restocks.get(db, order_id)
