"""Call a lot back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.actions.settle_lots import tell_left
from autogrocery.inventory.store import lots, recalls
from autogrocery.kit.errors import NotFound

if TYPE_CHECKING:
    from autogrocery.inventory.store.lots import Lot
    from autogrocery.inventory.store.recalls import Recipient
    from autogrocery.kit.pg.db import Db


async def recall_lot(db: Db, lot: str) -> tuple[Lot, tuple[Recipient, ...]]:
    """Take what is left of a lot from the shelf, for good, and return the lot and who got of it. Raises NotFound.

    Free units leave at once. Units that are promised and no other lot covers stay, and no report on them counts as picked.
    """
    known = await recalls.get(db, lot)
    if known is None:
        raise NotFound("lot_not_found", "there is no such lot")
    async with db.transaction() as tx:
        await lots.lock(tx, [known.sku])
        left = await lots.settle(tx, [known.sku])  # what was picked before was picked from it
        await recalls.mark(tx, known.sku, lot)
        left += await lots.settle(tx, [known.sku])
    tell_left(left)
    return await recalls.get(db, lot) or known, await recalls.recipients(db, known.sku, lot)
