"""Take a robot's word on how far it has put a delivery away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.picking import Receipt, too_late
from autogrocery.inventory.core.putaway import progress
from autogrocery.inventory.store import putaways, restock_webhooks, restocks, shelf
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from uuid import UUID

    from autogrocery.inventory.core.putaway import Progress, PutawayReport, RestockState
    from autogrocery.kit.pg.db import Db, Statements

NEWS_WITHIN_S = 1.0  # what is reported within it is one webhook; the last word is owed at once


async def report_putaway(
    db: Db, report: PutawayReport, classes: Collection[str], on_finished: Callable[[], None]
) -> Receipt:
    """Make the good units that are new sellable, in one commit with their totals; the last assignment closes the delivery.

    DUPLICATE if nothing is new, or the assignment is done; STALE_FENCE under an older lease, or another robot's. Raises
    Denied for an assignment that is of none of `classes`, Invalid for counts that can't be, NotFound for no assignment.
    """
    async with db.transaction() as tx:
        locked = await putaways.lock(tx, report, classes)
        if locked is None:
            return await _too_late(tx, report, classes)
        news = progress(locked.counts, report.counts)
        if not (news.counts or report.done):
            return Receipt.DUPLICATE
        ended = await _enter(tx, report, locked.order_id, news)
    if ended is not None:
        log.info("restock_put_away", order_id=str(locked.order_id), state=ended.value)
        on_finished()
    return Receipt.ACCEPTED


async def _enter(tx: Statements, report: PutawayReport, order_id: UUID, news: Progress) -> RestockState | None:
    await putaways.count(tx, order_id, report, news.counts)
    ended = await restocks.finish(tx, order_id) if report.done else None
    await restock_webhooks.owe(tx, order_id, in_s=0.0 if ended else NEWS_WITHIN_S)
    await shelf.shelve(tx, order_id, uuid7(), news.units)
    return ended


async def _too_late(tx: Statements, report: PutawayReport, classes: Collection[str]) -> Receipt:
    last = await putaways.last(tx, report.assignment_id)
    return too_late(last, report.robot_id, report.fence, classes) or Receipt.STALE_FENCE
