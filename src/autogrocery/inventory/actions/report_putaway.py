"""Record a robot's report on a putaway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store import putaway_reports
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from autogrocery.inventory.core.picking import Acknowledgement
    from autogrocery.inventory.core.putaway import PutawayReport
    from autogrocery.kit.pg.db import Db


async def report_putaway(
    db: Db, report: PutawayReport, classes: Collection[str], on_finished: Callable[[], None]
) -> Acknowledgement:
    """Put newly reported good units on sale and record the totals; the last putaway closes the restock order.

    Both are one commit. Returns DUPLICATE if nothing is new or the putaway is done, STALE_FENCE under an older or
    another robot's lease. `on_finished` is called when the restock order is closed. Raises Denied for a putaway whose
    class is not in `classes`, Invalid for counts out of range, NotFound for an unknown putaway.
    """
    result = await putaway_reports.record(db, report, classes)
    if result.final_state is not None:
        log.info("restock_put_away", order_id=str(result.order_id), state=result.final_state.value)
        on_finished()
    return result.acknowledgement
