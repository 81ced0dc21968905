"""Enter a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.delivery import digest
from autogrocery.inventory.store import restocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.delivery import Delivered
    from autogrocery.kit.pg import Db


async def restock_items(db: Db, order_id: UUID, supplier_id: str, lines: Sequence[Delivered]) -> str | None:
    """Put a delivery on the shelf, once; unknown products are created. Returns why it was refused, or None.

    Another delivery under an id that was used is refused, and so is a product in another aisle than where it stands.
    """
    content = digest(supplier_id, lines)
    entered = await restocks.receive(db, order_id, supplier_id, content, lines)
    if entered.now:
        return None
    known = await restocks.content(db, order_id)
    if known == content:
        return None
    if known is not None:
        return "another delivery was entered under this order id"
    return f"{entered.misplaced} stands in another aisle"
