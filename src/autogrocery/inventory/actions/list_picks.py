"""Return what robots did for orders that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import pick_history
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.pick_history import ReportedPick
    from autogrocery.kit.pg.db import Db

MAX_ORDERS = 200


async def list_picks(db: Db, order_ids: Sequence[UUID]) -> list[ReportedPick]:
    """Return the reported assignments of up to MAX_ORDERS orders; unknown and running ones are passed over.

    Raises Invalid for none or too many.
    """
    if not 0 < len(order_ids) <= MAX_ORDERS:
        raise Invalid("invalid_request", f"order_ids are not 1..{MAX_ORDERS}")
    return await pick_history.list_reported(db, order_ids)
