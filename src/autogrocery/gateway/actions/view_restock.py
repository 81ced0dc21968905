"""Read a restock of the truck's supplier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.restock import not_found
from autogrocery.gateway.store import restocks
from autogrocery.gateway.wire.restocks import RestockOut, restock_out

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


async def view_restock(db: Db, user_id: int, order_id: UUID) -> RestockOut:
    """Return a restock of the truck's supplier; raises NotFound(order_not_found)."""
    restock = await restocks.get_of_truck(db, order_id, user_id)
    if restock is None:
        raise not_found()
    return restock_out(restock)
