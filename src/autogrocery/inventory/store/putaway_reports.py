"""Robots' reports on putaways: totals, stock, the restock order's state and its webhook in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.inventory.core.picking import Acknowledgement, late_acknowledgement
from autogrocery.inventory.core.putaway import compute_progress
from autogrocery.inventory.store import putaways, restock_webhooks, restocks, shelf
from autogrocery.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from autogrocery.inventory.core.putaway import PutawayReport, RestockState
    from autogrocery.kit.pg.db import Db

WEBHOOK_DELAY_S: Final = 1.0  # reports within it share one webhook; the final webhook is sent at once


class RecordResult(Struct, frozen=True):
    """How a report is acknowledged; and the restock order with its final state, if the report closed it."""

    acknowledgement: Acknowledgement
    order_id: UUID | None = None
    final_state: RestockState | None = None


async def record(db: Db, report: PutawayReport, classes: Collection[str]) -> RecordResult:
    """Record a report on a putaway whose class is in `classes`.

    Raises Denied for another class, Invalid for counts out of range, NotFound for an unknown putaway.
    """
    async with db.transaction() as tx:
        locked = await putaways.lock(tx, report, classes)
        if locked is None:
            last = await putaways.get_last_lease(tx, report.assignment_id)
            late = late_acknowledgement(last, report.robot_id, report.fence, classes)
            return RecordResult(late or Acknowledgement.STALE_FENCE)
        progress = compute_progress(locked.counts, report.counts)
        if not (progress.counts or report.done):
            return RecordResult(Acknowledgement.DUPLICATE)
        await putaways.write_counts(tx, locked.order_id, report, progress.counts)
        final_state = await restocks.finish(tx, locked.order_id) if report.done else None
        await restock_webhooks.enqueue(tx, locked.order_id, in_s=0.0 if final_state else WEBHOOK_DELAY_S)
        await shelf.shelve(tx, locked.order_id, uuid7(), progress.added)
    return RecordResult(Acknowledgement.ACCEPTED, locked.order_id, final_state)
