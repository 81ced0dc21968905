"""The figures of the overview: stages, outboxes, and the changes of each minute."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MINUTE_S: Final = 60
CHUNK_MINUTES: Final = 10  # of one statement
CLOSED_AFTER_S: Final = 15  # a change is committed sooner after its time: statement and lock timeouts are far below
CATCH_UP_S: Final = 0.05  # for earlier minutes, in one read

COUNT_CHANGES = """
-- ops.count_changes
SELECT (extract(epoch FROM date_trunc('minute', h.at)))::bigint AS minute, h.to_status, count(*) AS orders,
       count(*) FILTER (WHERE h.at > now() - interval '10 seconds') AS recent,
       coalesce(sum(o.total_cents), 0)::bigint AS cents
  FROM order_history h LEFT JOIN grocery_orders o ON h.to_status = 'COMPLETED' AND o.order_id = h.order_id
 WHERE h.at >= to_timestamp($1::float8) AND h.at < to_timestamp($2::float8)
 GROUP BY 1, 2
"""


class MinuteCount(Struct, frozen=True):
    """Changes within a minute, by the status that was reached, and what was charged for the COMPLETED ones."""

    statuses: dict[str, int]
    cents: int


NO_CHANGES: Final = MinuteCount({}, 0)


class Counts(Struct, frozen=True):
    """Minutes by their beginning in Unix seconds, without a gap, and orders previewed in the last ten seconds."""

    minutes: dict[int, MinuteCount]
    complete_since_s: int
    previewed_in_10_s: int


class MinuteCounts:
    """Counts changes by minute. A minute that is over is read once, so a read costs the last minute or two."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._closed: dict[int, MinuteCount] = {}

    async def read(self, since_s: int) -> Counts:
        """Return the minutes from `since_s` (Unix seconds, a whole minute) on.

        Earlier minutes are read CHUNK_MINUTES at a time for CATCH_UP_S seconds; `complete_since_s` says how far.
        Raises Unavailable.
        """
        now_s = time.time()
        this_minute = int(now_s) // MINUTE_S * MINUTE_S
        open_from = this_minute
        while (
            open_from > max(since_s, this_minute - CHUNK_MINUTES * MINUTE_S)
            and open_from - MINUTE_S not in self._closed
        ):
            open_from -= MINUTE_S
        current, recent = await self._count(open_from, this_minute + 2 * MINUTE_S)
        for minute in range(open_from, this_minute, MINUTE_S):
            if minute + MINUTE_S + CLOSED_AFTER_S < now_s:
                self._closed[minute] = current.get(minute, NO_CHANGES)
        complete_since_s = await self._catch_up(open_from, since_s)
        for minute in [minute for minute in self._closed if minute < since_s]:
            del self._closed[minute]
        kept = {minute: self._closed[minute] for minute in range(complete_since_s, open_from, MINUTE_S)}
        return Counts(kept | current, complete_since_s, recent)

    async def _catch_up(self, known_from: int, since_s: int) -> int:
        ends_at = time.monotonic() + CATCH_UP_S
        while True:
            while known_from > since_s and known_from - MINUTE_S in self._closed:
                known_from -= MINUTE_S
            if known_from <= since_s or time.monotonic() > ends_at:
                return known_from
            chunk_from = max(since_s, known_from - CHUNK_MINUTES * MINUTE_S)
            found, _ = await self._count(chunk_from, known_from)
            for minute in range(chunk_from, known_from, MINUTE_S):
                self._closed[minute] = found.get(minute, NO_CHANGES)

    async def _count(self, from_s: int, until_s: int) -> tuple[dict[int, MinuteCount], int]:
        found: dict[int, MinuteCount] = {}
        recent = 0
        for row in await self._db.rows(COUNT_CHANGES, float(from_s), float(until_s)):
            before = found.get(row["minute"], NO_CHANGES)
            found[row["minute"]] = MinuteCount(
                before.statuses | {row["to_status"]: row["orders"]}, before.cents + row["cents"]
            )
            recent += row["recent"] if row["to_status"] == "PREVIEWED" else 0
        return found, recent


STAGES = """
-- ops.stages
WITH ended AS (
  SELECT o.created_at, o.confirmed_at, o.dispatched_at, o.finished_at
    FROM (SELECT order_id FROM order_history
           WHERE at > now() - interval '5 minutes' AND at < now() + interval '1 minute'
             AND to_status IN ('COMPLETED', 'FAILED') LIMIT 5000) h
    JOIN grocery_orders o USING (order_id)
   WHERE o.dispatched_at IS NOT NULL AND o.finished_at IS NOT NULL),
took AS (
  SELECT s.stage, s.seconds FROM ended, LATERAL (VALUES
    ('decide', extract(epoch FROM coalesce(confirmed_at, dispatched_at) - created_at)),
    ('dispatch', extract(epoch FROM dispatched_at - coalesce(confirmed_at, dispatched_at))),
    ('pick', extract(epoch FROM finished_at - dispatched_at)),
    ('whole', extract(epoch FROM finished_at - coalesce(confirmed_at, dispatched_at)))) s (stage, seconds))
SELECT stage, count(*) AS orders, percentile_cont(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY seconds::float8) AS p
  FROM took GROUP BY stage
"""


class StageTimes(Struct, frozen=True):
    """The 50th, 90th and 99th percentile of a stage in seconds, and of how many orders."""

    stage: str
    percentiles_s: tuple[float, float, float]
    count: int


async def list_stages(db: Db) -> list[StageTimes]:
    """Return the times of the orders that ended in the last five minutes, of at most 5,000 of them."""
    return [StageTimes(row["stage"], tuple(row["p"]), row["orders"]) for row in await db.rows(STAGES)]


COUNT_OUTBOXES = """
-- ops.count_outboxes
SELECT r.due AS receipts_due, r.oldest_s AS receipts_oldest_s, a.due AS alerts_due, a.oldest_s AS alerts_oldest_s,
       (SELECT count(*) FROM receipt_outbox WHERE dead_at IS NOT NULL AND done_at IS NULL) AS receipts_dead,
       (SELECT count(*) FROM alert_outbox WHERE dead_at IS NOT NULL AND done_at IS NULL) AS alerts_dead
  FROM (SELECT count(*) AS due, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_s
          FROM receipt_outbox WHERE done_at IS NULL AND dead_at IS NULL) r,
       (SELECT count(*) AS due, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_s
          FROM alert_outbox WHERE done_at IS NULL AND dead_at IS NULL) a
"""


class OutboxCount(Struct, frozen=True):
    """Rows that wait, dead letters, and the age in seconds of the oldest row that waits."""

    due: int
    dead: int
    oldest_s: float


async def count_outboxes(db: Db) -> dict[str, OutboxCount]:
    """Return the counts of receipts and alerts."""
    row = await db.row(COUNT_OUTBOXES)
    assert row is not None
    return {
        name: OutboxCount(row[f"{name}_due"], row[f"{name}_dead"], row[f"{name}_oldest_s"])
        for name in ("receipts", "alerts")
    }
