"""Return the stock of expired holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import holds
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


async def lapse_holds(db: Db) -> bool:
    """Free the stock of one batch of expired holds; True if there may be more."""
    lapsed = await holds.lapse(db)
    if lapsed:
        log.info("holds_lapsed", orders=lapsed)
    return lapsed == holds.LAPSE_BATCH
