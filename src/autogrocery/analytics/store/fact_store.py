"""The facts: batches are written, then their marks; the figures of the minutes that they touch are computed from them.

docs/ANALYTICS.md#exactly-once argues why nothing is lost and nothing is counted twice.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from autogrocery.analytics.core.batch import PoisonFrame
from autogrocery.analytics.core.facts import Minute
from autogrocery.analytics.core.marks import Mark, Marks
from autogrocery.analytics.store import damage, schema
from autogrocery.analytics.store.engine import quoted
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.analytics.core.batch import Batch
    from autogrocery.analytics.store.engine import Engine
    from autogrocery.analytics.store.schema import Retention

MINUTES_AT_ONCE: Final = 500
MINUTES: Final = "minutes"  # the last write whose minutes were computed
DAMAGED: Final = "damaged"  # when damage was found; beyond REBUILT, marks and minutes are made anew from the facts
REBUILT: Final = "rebuilt"
EARLIEST_US: Final = 1_767_225_600_000_000  # 2026

ADD_FACTS: Final = """
-- facts.add
INSERT INTO facts
"""
ADD_POISON: Final = """
-- facts.add_poison
INSERT INTO poison
"""
ADD_MARKS: Final = """
-- facts.add_marks
INSERT INTO marks (epoch, first, last)
"""
LIST_MARKS: Final = """
-- facts.list_marks
SELECT epoch, first, max(last) AS last FROM marks GROUP BY epoch, first
"""
GET_EXTENT: Final = """
-- facts.get_extent
SELECT max(batch) AS last_batch, toUnixTimestamp64Micro(max(occurred_at)) AS newest_us FROM facts
"""
LIST_TOUCHED: Final = """
-- facts.list_touched
SELECT DISTINCT store_id, toUnixTimestamp(toStartOfMinute(occurred_at)) AS started_at FROM facts WHERE batch > {batch}
"""
ADD_MINUTES: Final = """
-- facts.add_minutes
INSERT INTO order_minutes (store_id, minute, status, changes, total_cents, items, lines, busy_ms, basket,
                           duration_ms)
SELECT store_id, toStartOfMinute(occurred_at) AS minute, status, count() AS changes, sum(f.total_cents) AS total_cents,
       sum(item_count) AS items, sum(line_count) AS lines, sum(f.duration_ms) AS busy_ms,
       quantilesState(0.5, 0.9, 0.99)(item_count) AS basket,
       quantilesStateIf(0.5, 0.9, 0.99)(f.duration_ms, f.duration_ms > 0) AS duration_ms
  FROM facts AS f FINAL
 WHERE (store_id, toStartOfMinute(occurred_at)) IN ({minutes})
 GROUP BY store_id, minute, status
"""
COUNT_CHANGES: Final = """
-- facts.count_changes
SELECT status, sum(changes) AS changes FROM order_minutes FINAL WHERE {where} GROUP BY status
"""
LIST_PROGRESS: Final = """
-- facts.list_progress
SELECT name, max(value) AS value FROM progress GROUP BY name
"""
ADD_PROGRESS: Final = """
-- facts.add_progress
INSERT INTO progress
"""


class Progress(Struct, frozen=True):
    """A number that outlives the process; the highest value written counts."""

    name: str
    value: int


class _Count(Struct, frozen=True):
    status: str
    changes: int


class _Extent(Struct, frozen=True):
    last_batch: int
    newest_us: int


class _Poison(PoisonFrame, frozen=True):
    cut_at: int
    position: int


class FactStore:
    """An engine with its tables. One process writes; `load` comes first.

    Every method raises Unavailable, after which the same call may be repeated.
    """

    def __init__(self, engine: Engine, retention: Retention, cluster: str = "") -> None:
        self.engine = engine
        self.loaded = False
        self.newest_us = 0  # when the newest stored change occurred, in Unix microseconds
        self.marks = Marks()
        self.changes: Counter[str] = Counter()  # status changes by status, as the figures of the minutes count them
        self._retention = retention
        self._cluster = cluster
        self._changes_are_stale = False
        self._rebuilding = 0  # the damage that this process makes up for; 0: none
        self.last_damage = 0  # when damage was found last, in Unix microseconds; 0: never
        self.stored_batch = 0  # the last write whose facts are stored
        self._last_batch = 0
        self._touched: set[Minute] = set()

    async def load(self) -> None:
        """Bring the tables up to date and read what earlier processes have stored."""
        await schema.migrate(self.engine, self._cluster)
        await schema.keep(self.engine, self._retention, self._cluster)
        if self.engine.repairs:
            await self._note_detached()
        known = await self._list_progress()
        damaged = self.last_damage = known.get(DAMAGED, 0)
        self._rebuilding = damaged if damaged > known.get(REBUILT, 0) else 0
        if self._rebuilding:
            await damage.mark_facts_again(self.engine)
        self.marks = Marks(await self.engine.rows(LIST_MARKS, Mark))
        (extent,) = await self.engine.rows(GET_EXTENT, _Extent)
        computed = known.get(MINUTES, 0)
        self._last_batch, self.newest_us = max(extent.last_batch, computed), extent.newest_us
        self.stored_batch = self._last_batch
        touched_after = 0 if self._rebuilding else computed
        self._touched = set(await self.engine.rows(LIST_TOUCHED, Minute, batch=touched_after))
        self.changes = await self._count_changes("1")
        self.loaded = True

    @property
    def has_uncomputed_minutes(self) -> bool:
        """Whether facts were written whose minutes have not been computed since."""
        return bool(self._touched)

    async def write(self, batch: Batch, now_us: int) -> None:
        """Store a batch, then the marks that say so. It may be repeated, whatever part of it had its effect."""
        # Increasing, even if the clock jumps. What a clock in 1970 dates must not expire once that clock is right.
        number = max(now_us, EARLIEST_US, self._last_batch + 1)
        self._last_batch = number
        self._touched.update({fact.minute for fact in batch.facts})
        await self.engine.insert(ADD_FACTS, [msgspec.structs.replace(fact, batch=number) for fact in batch.facts])
        self.stored_batch = number
        await self.engine.insert(
            ADD_POISON,
            [
                _Poison(one.received_at, one.reason, one.size, one.frame, batch.cut_at, position)
                for position, one in enumerate(batch.poison)
            ],
        )
        await self.engine.insert(ADD_MARKS, self.marks.add(batch.marks()))
        self.newest_us = max([self.newest_us, *(fact.occurred_at for fact in batch.facts)])

    async def compute_minutes(self) -> None:
        """Compute the figures of every minute that was written to, from its facts without duplicates."""
        stale = self._changes_are_stale
        ordered = sorted(self._touched, key=lambda one: (one.store_id, one.started_at))
        for start in range(0, len(ordered), MINUTES_AT_ONCE):
            some = ordered[start : start + MINUTES_AT_ONCE]
            minutes = ", ".join(f"({quoted(one.store_id)}, toDateTime({one.started_at}, 'UTC'))" for one in some)
            before = await self._count_changes(f"(store_id, minute) IN ({minutes})")
            self._changes_are_stale = True  # until both counts are known
            await self.engine.run(ADD_MINUTES, minutes=minutes)
            added = await self._count_changes(f"(store_id, minute) IN ({minutes})")
            self._touched.difference_update(some)
            if not stale:
                added.subtract(before)
                self.changes.update(added)
                self._changes_are_stale = False
        if stale:
            self.changes = await self._count_changes("1")
            self._changes_are_stale = False
        rebuilt = [Progress(REBUILT, self._rebuilding)] if self._rebuilding else []
        await self.engine.insert(ADD_PROGRESS, [Progress(MINUTES, self._last_batch), *rebuilt])
        self._rebuilding = 0

    async def progress(self, name: str) -> int | None:
        """Return the number remembered as `name`; None if there is none."""
        return (await self._list_progress()).get(name)

    async def remember(self, name: str, value: int) -> None:
        """Remember a number, unless a higher one is remembered already."""
        await self.engine.insert(ADD_PROGRESS, [Progress(name, value)])

    async def repair(self) -> None:
        """Set damaged parts aside; `load` comes next, and finds what they held missing.

        That there is damage is remembered first, and again if `progress` itself was damaged: a crash changes nothing.
        """
        self.loaded = False
        await self._remember_damage()
        await damage.set_aside(self.engine)
        await self._remember_damage()

    async def _note_detached(self) -> None:
        """Remember that there is damage if the engine has set parts aside since the store was opened before."""
        noted = await self._list_progress()
        found = [one for one in await damage.list_detached(self.engine) if f"{one.table}/{one.part}" not in noted]
        if not found:
            return
        log.error("damaged_parts_found", parts=[f"{one.table}/{one.part}" for one in found])
        await self._remember_damage()
        await self.engine.insert(ADD_PROGRESS, [Progress(f"{one.table}/{one.part}", 1) for one in found])

    async def _remember_damage(self) -> None:
        last = await self.progress(DAMAGED) or 0
        await self.remember(DAMAGED, max(time.time_ns() // 1_000, last + 1))

    async def _list_progress(self) -> dict[str, int]:
        return {one.name: one.value for one in await self.engine.rows(LIST_PROGRESS, Progress)}

    async def _count_changes(self, where: str) -> Counter[str]:
        found: Iterable[_Count] = await self.engine.rows(COUNT_CHANGES, _Count, where=where)
        return Counter({one.status: one.changes for one in found})
