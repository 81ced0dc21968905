"""Give back what nobody confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import holds
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


async def lapse_holds(db: Db) -> bool:
    """Return one batch of overdue holds to the shelf; True if there may be more."""
    lapsed = await holds.lapse(db)
    if lapsed:
        log.info("holds_lapsed", orders=lapsed)
    return lapsed == holds.LAPSE_BATCH
