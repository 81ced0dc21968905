"""Where an order's receipt goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg import Db

GET_ADDRESS = """
-- receipts.get_address
SELECT d.email FROM grocery_orders o JOIN smart_devices d ON d.id = o.user_id WHERE o.order_id = $1
"""


async def get_address(db: Db, order_id: UUID) -> str | None:
    """Return the e-mail address of the device that ordered, None if it has none."""
    row = await db.row(GET_ADDRESS, order_id)
    return row["email"] if row else None
