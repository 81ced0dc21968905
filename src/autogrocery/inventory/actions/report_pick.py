"""Take a robot's word on an assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.actions.settle_lots import tell_left
from autogrocery.inventory.core.lots import beside_off_sale
from autogrocery.inventory.core.picking import Receipt, too_late
from autogrocery.inventory.store import lots, picks
from autogrocery.kit.errors import Invalid
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from autogrocery.inventory.core.picking import Report
    from autogrocery.inventory.store.picks import Closed
    from autogrocery.kit.pg.db import Db


async def report_pick(db: Db, report: Report, classes: Collection[str], on_finished: Callable[[], None]) -> Receipt:
    """Close the assignment; the order's last one closes the order and owes the gateway a webhook, in the same commit.

    The first report under the assignment's last lease counts, later ones are DUPLICATE; under an older lease, or
    another robot's, STALE_FENCE. Raises Denied for an assignment that is of none of `classes`, Invalid for counts that the
    assignment does not have, NotFound for no assignment.
    """
    closed = await picks.report(db, report, classes)
    refused = None
    if closed is None:
        refused = await _refused(db, report, classes)
        closed = None if refused else await _report_beside_off_sale(db, report, classes)
    if closed is not None:
        if closed.is_short:
            log.warning("shelf_was_short", order_id=str(closed.order_id), assignment_id=str(report.assignment_id))
        if closed.finished:
            log.info("order_picked", order_id=str(closed.order_id))
            on_finished()
        return Receipt.ACCEPTED
    refused = refused or await _refused(db, report, classes)  # perhaps by another of the same moment
    if refused is None:
        raise Invalid("invalid_items", "counts more than the assignment has, or a SKU it does not have")
    return refused


async def _refused(db: Db, report: Report, classes: Collection[str]) -> Receipt | None:
    """Say why nothing more can be reported on the assignment under this lease; None if it can."""
    return too_late(await picks.last(db, report.assignment_id), report.robot_id, report.fence, classes)


async def _report_beside_off_sale(db: Db, report: Report, classes: Collection[str]) -> Closed | None:
    """Report with the lots settled before, so that nothing of an expired or recalled one counts as picked, and after."""
    async with db.transaction() as tx:
        skus = await picks.lock(tx, report)
        if not skus:
            return None
        left = await lots.settle(tx, skus)
        counted, off_sale = beside_off_sale(report, await picks.shelf(tx, report.assignment_id))
        closed = await picks.report(tx, counted, classes, off_sale)
        left += await lots.settle(tx, skus)
    tell_left(left)
    return closed
