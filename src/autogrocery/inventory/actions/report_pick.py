"""Record a robot's report on an assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.actions.write_off_lots import log_removals
from autogrocery.inventory.core.picking import Acknowledgement, late_acknowledgement
from autogrocery.inventory.store import picks
from autogrocery.kit.errors import Invalid
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from autogrocery.inventory.core.picking import Report
    from autogrocery.kit.pg.db import Db


async def report_pick(
    db: Db, report: Report, classes: Collection[str], on_finished: Callable[[], None]
) -> Acknowledgement:
    """Close the assignment; the last one of an order closes the order and enqueues its webhook in the same commit.

    The first report under the current lease is ACCEPTED, later ones are DUPLICATE; a report under an older or another
    robot's lease is STALE_FENCE. `on_finished` is called when the order is closed. Raises Denied for an assignment
    whose class is not in `classes`, Invalid for counts that do not fit the assignment, NotFound for an unknown
    assignment.
    """
    closed = await picks.close(db, report, classes)
    late = None
    if closed is None:
        late = await _acknowledge_late(db, report, classes)
        if late is None:
            result = await picks.close_with_write_off(db, report, classes)
            closed = result.closed
            log_removals(result.removals)
    if closed is not None:
        if closed.is_short:
            log.warning("shelf_was_short", order_id=str(closed.order_id), assignment_id=str(report.assignment_id))
        if closed.finished:
            log.info("order_picked", order_id=str(closed.order_id))
            on_finished()
        return Acknowledgement.ACCEPTED
    late = late or await _acknowledge_late(db, report, classes)  # a concurrent report may have closed it meanwhile
    if late is None:
        raise Invalid("invalid_items", "counts more than the assignment has, or a SKU it does not have")
    return late


async def _acknowledge_late(db: Db, report: Report, classes: Collection[str]) -> Acknowledgement | None:
    """Return how to acknowledge a report that comes too late; None if its lease is still current."""
    last = await picks.get_last_lease(db, report.assignment_id)
    return late_acknowledgement(last, report.robot_id, report.fence, classes)
