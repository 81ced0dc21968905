"""Recall a lot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.actions.write_off_lots import log_removals
from autogrocery.inventory.store import recalls
from autogrocery.kit.errors import NotFound

if TYPE_CHECKING:
    from autogrocery.inventory.store.lots import Lot
    from autogrocery.inventory.store.recalls import Recipient
    from autogrocery.kit.pg.db import Db


class RecallResult(Struct, frozen=True):
    """The recalled lot, and the orders that got units of it."""

    lot: Lot
    recipients: tuple[Recipient, ...]


async def recall_lot(db: Db, lot: str) -> RecallResult:
    """Take a lot off sale for good; return the lot and its recipients. Raises NotFound for an unknown lot.

    Free units leave the shelf at once. Promised units that no other lot covers stay, and no report counts them as
    picked.
    """
    found = await recalls.get(db, lot)
    if found is None:
        raise NotFound("lot_not_found", "there is no such lot")
    log_removals(await recalls.recall(db, found.sku, lot))
    return RecallResult(await recalls.get(db, lot) or found, await recalls.list_recipients(db, found.sku, lot))
