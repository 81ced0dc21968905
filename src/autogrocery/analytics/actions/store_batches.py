from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.store.engine import StoreDamaged
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.analytics.core.counters import Counters
    from autogrocery.analytics.store.backlog import Backlog

STOP_WITHIN_S: Final = 5.0


async def store_batches(backlog: Backlog, counters: Counters) -> bool:
    """Store what waits, or move it to disk if the store does not take it; True if more can be stored at once."""
    try:
        await backlog.load(counters)
        return await backlog.store_next()
    except StoreDamaged as error:
        log.error("store_damaged", reason=error.detail)
        if backlog.store.engine.repairs:
            await backlog.store.repair()
        return False
    except Unavailable as error:
        log.warning("store_refused", reason=error.detail, spooled=backlog.spooled, waiting=len(backlog.waiting))
        await backlog.spill()
        return False


async def load_store(backlog: Backlog, counters: Counters) -> None:
    """Read what earlier processes have stored; if the store does not answer, `store_batches` tries again."""
    try:
        await backlog.load(counters)
    except Unavailable as error:
        log.warning("store_refused", reason=error.detail, spooled=backlog.spooled, waiting=0)


async def store_rest(backlog: Backlog) -> None:
    """Store what still waits at the end of the process, within STOP_WITHIN_S; what it can't the metrics log has."""
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await backlog.flush()
    except (Unavailable, TimeoutError) as error:
        await backlog.spill()
        log.warning("rest_not_stored", reason=type(error).__name__, spooled=backlog.spooled)
