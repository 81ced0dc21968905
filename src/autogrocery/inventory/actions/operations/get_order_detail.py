"""Return one order whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store.operations import order_detail

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.store.operations.order_detail import OrderDetail
    from autogrocery.kit.pg.db import Db


async def get_order_detail(db: Db, order_id: UUID) -> OrderDetail | None:
    """Return an order with its assignments, lots and webhooks; None if it is unknown."""
    return await order_detail.get(db, order_id)
