"""View the trucks: their accounts and their suppliers' restocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.deliveries import TruckPage
from autogrocery.gateway.store.ops import trucks

if TYPE_CHECKING:
    from autogrocery.contracts.ops.deliveries import TruckQuery
    from autogrocery.kit.pg.db import Db


async def view_trucks(db: Db, query: TruckQuery) -> TruckPage:
    """Return a page of trucks by id; a full one has a cursor."""
    rows = await trucks.list_trucks(db, query.cursor, query.limit)
    return TruckPage(rows, rows[-1].truck_id if len(rows) == query.limit else None)
