"""Say what came of a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import restocks

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg import Db


async def get_restock(db: Db, order_id: UUID) -> tuple[Line, ...]:
    """Return what was received; nothing if the delivery is unknown (one that is known is received in full)."""
    return await restocks.lines(db, order_id)
