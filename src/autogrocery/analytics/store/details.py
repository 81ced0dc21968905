"""Details of ended orders: which are still to be asked for, and the rows that were answered.

A cursor is a number of `progress`, as the last write of facts whose orders were asked for. The one writer numbers its
writes in increasing order, so no order can appear below a cursor. Rows come first, then the cursor: after a crash the
same orders are asked for again, and the same rows replace their equals.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.core.details import Details, Ended

if TYPE_CHECKING:
    from autogrocery.analytics.store.engine import Engine
    from autogrocery.analytics.store.fact_store import FactStore

PAGE: Final = 2_000  # orders read at once, and the rest of the last write
REACH_S: Final = 35 * 86_400  # orders that ended earlier are not asked for: a report has 31 days at most

LIST_ENDED: Final = """
-- details.list_ended
SELECT batch, store_id, order_id FROM facts
 WHERE batch > {after} AND status IN ('COMPLETED', 'FAILED', 'RECEIVED', 'REJECTED')
   AND toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')
 ORDER BY batch LIMIT {page} WITH TIES
"""
ADD_SHORT_LINES: Final = """
-- details.add_short_lines
INSERT INTO short_lines (order_id, ended_at, sku, name, granted, picked, unit_price_cents, store_id)
"""
ADD_DELIVERED: Final = """
-- details.add_delivered
INSERT INTO delivered (order_id, ended_at, aisle, announced, received, damaged, missing, surplus, store_id)
"""
ADD_PICKS: Final = """
-- details.add_picks
INSERT INTO picks (order_id, assignment_id, robot_id, aisle, units, picked, short_skus, assigned_at, closed_at,
                   store_id)
"""


class DetailCursor:
    """How far one source of details has been asked; `name` tells it apart from others."""

    def __init__(self, store: FactStore, name: str) -> None:
        self._store = store
        self._name = name
        self._of_damage = -1  # the damage since which orders are asked for, from `_after` on
        self._after = 0

    async def next_page(self) -> list[Ended]:
        """Return the ended orders of the next writes, in the order of these; empty if all were asked for."""
        if self._of_damage != self._store.last_damage:
            self._of_damage = self._store.last_damage
            self._after = await self._store.progress(self._key) or 0
        last, since_s = self._store.stored_batch, max(int(time.time()) - REACH_S, 1)
        if self._after >= last:
            return []
        engine = self._store.engine
        found = await engine.rows(LIST_ENDED, Ended, after=self._after, since=since_s, page=PAGE)
        if not found:
            self._after = last  # not stored: a stored cursor says that the source has answered
        return list({one.order_id: one for one in found}.values())

    async def keep(self, page: list[Ended], details: Details) -> None:
        """Store the rows that were answered for a page, then that it was asked for. It may be repeated."""
        engine: Engine = self._store.engine
        await engine.insert(ADD_SHORT_LINES, details.short_lines)
        await engine.insert(ADD_DELIVERED, details.delivered)
        await engine.insert(ADD_PICKS, details.picks)
        last = max(one.batch for one in page)
        await self._store.remember(self._key, last)
        self._after = last

    @property
    def _key(self) -> str:
        # What was lost with a damaged part is asked for again: after each damage the cursor has another name.
        return f"{self._name}@{self._of_damage}"
