"""Take a robot's word on an assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.picking import Receipt
from autogrocery.inventory.store import picks
from autogrocery.kit.log import log
from autogrocery.kit.refusals import Denied, Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from autogrocery.inventory.core.picking import Report
    from autogrocery.kit.pg import Db


async def report_pick(db: Db, report: Report, classes: Collection[str], on_finished: Callable[[], None]) -> Receipt:
    """Close the assignment; the order's last one closes the order and owes the gateway a webhook, in the same commit.

    The first report under the assignment's last lease counts, later ones are DUPLICATE; under an older lease, or
    another robot's, STALE_FENCE. Raises Denied for an assignment that is of none of `classes`, Invalid for counts that the
    assignment does not have, NotFound for no assignment.
    """
    closed = await picks.report(db, report, classes)
    if closed is not None:
        if closed.finished:
            log.info("order_picked", order_id=str(closed.order_id))
            on_finished()
        return Receipt.ACCEPTED
    last = await picks.last(db, report.assignment_id)
    if last is None:
        raise NotFound("assignment_not_found", "there is no such assignment")
    if last.robot_class not in classes:
        raise Denied("insufficient_scope", f"the assignment is for robots of class {last.robot_class}")
    if last.fence != report.fence or last.holder != report.robot_id:
        return Receipt.STALE_FENCE
    if last.reported:
        return Receipt.DUPLICATE
    raise Invalid("invalid_items", "counts more than the assignment has, or a SKU it does not have")
