"""Return a restock order's state and totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import restocks

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.core.putaway import RestockProgress
    from autogrocery.kit.pg.db import Db


async def get_restock(db: Db, order_id: UUID) -> RestockProgress | None:
    """Return a restock order's committed state and totals; None if unknown.

    This is K5 of docs/PROTOCOL.md#what-a-peer-promises.
    """
    return await restocks.get(db, order_id)
