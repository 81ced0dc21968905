"""A store with many generated facts: its size, and how long the report takes."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from autogrocery.analytics.core.report import DAY_S, HOUR_S, Period
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.report import read_report
from autogrocery.analytics.store.schema import Retention
from bench.metrics.record import StoreSize

SINCE_S: Final = 1_798_761_600  # 2027-01-01
STATUSES_OF_AN_ORDER: Final = 3
DAYS: Final = 100
SLICE: Final = 3_000_000
FOREVER: Final = Retention(3_650, 3_650)
GENERATE: Final = """
-- bench.generate
INSERT INTO facts
SELECT 'mart-1' AS store_id,
       toUUID(concat('01800000-', substring(hex(sipHash64(order_no)), 1, 4), '-7',
                     substring(hex(sipHash64(order_no, 1)), 1, 3), '-8', substring(hex(sipHash64(order_no, 2)), 1, 3),
                     '-', lower(leftPad(hex(order_no), 12, '0')))) AS order_id,
       version, ['PREVIEWED', 'PROCESSING', 'COMPLETED'][version] AS status,
       fromUnixTimestamp64Micro(toInt64(({since} + order_no * {day_s} * {days} / {orders}) * 1000000
                                        + version * 1300000 + rand(1) % 9000000)) AS occurred_at,
       if(version = 3, 5000 + rand(2) % 90000, 0) AS duration_ms,
       500 + rand(3) % 9000 AS total_cents, 1 + rand(4) % 20 AS item_count, 1 + rand(5) % 9 AS line_count,
       1 AS epoch, number + 1 AS sequence, {batch} AS batch
  FROM (SELECT number, intDiv(number, 3) AS order_no, toUInt32(number % 3 + 1) AS version
          FROM numbers({first}, {count}))
"""
COMPUTE: Final = """
-- bench.compute
INSERT INTO order_minutes (store_id, minute, status, changes, total_cents, items, lines, busy_ms, basket, duration_ms)
SELECT store_id, toStartOfMinute(occurred_at) AS minute, status, count() AS changes, sum(f.total_cents) AS total_cents,
       sum(item_count) AS items, sum(line_count) AS lines, sum(f.duration_ms) AS busy_ms,
       quantilesState(0.5, 0.9, 0.99)(item_count) AS basket,
       quantilesStateIf(0.5, 0.9, 0.99)(f.duration_ms, f.duration_ms > 0) AS duration_ms
  FROM facts AS f WHERE toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')
   AND toStartOfMinute(occurred_at) < toDateTime({until}, 'UTC') GROUP BY store_id, minute, status
"""
SIZE: Final = """
-- bench.size
SELECT table, sum(bytes_on_disk) AS bytes, sum(rows) AS rows FROM system.parts
 WHERE active AND table IN ('facts', 'order_minutes') GROUP BY table
"""


class _Size(Struct, frozen=True):
    table: str
    bytes: int
    rows: int


async def measure_store(facts: int) -> StoreSize:
    """Generate so many facts, evenly over DAYS days, and take the report of a day and of a week."""
    place = Path(tempfile.mkdtemp(prefix="agm-"))
    orders = facts // STATUSES_OF_AN_ORDER
    try:
        async with open_embedded(place / "analytics") as engine:
            store = FactStore(engine, FOREVER)
            await store.load()
            total = orders * STATUSES_OF_AN_ORDER
            for batch, first in enumerate(range(0, total, SLICE), 1):
                await engine.run(
                    GENERATE,
                    since=SINCE_S,
                    day_s=DAY_S,
                    days=DAYS,
                    orders=orders,
                    batch=SINCE_S * 1_000_000 + batch,
                    first=first,
                    count=min(SLICE, total - first),
                )
            for day in range(DAYS + 1):
                since = SINCE_S + day * DAY_S
                await engine.run(COMPUTE, since=since, until=since + DAY_S)
            sizes = {one.table: one for one in await engine.rows(SIZE, _Size)}
            middle = SINCE_S + DAYS // 2 * DAY_S
            day_s = await _time_report(store, Period(middle, middle + DAY_S, HOUR_S, ""))
            week_s = await _time_report(store, Period(middle, middle + 7 * DAY_S, DAY_S, ""))
        facts_size = sizes["facts"]
        return StoreSize(
            facts_size.rows,
            DAYS,
            facts_size.bytes / facts_size.rows,
            sizes["order_minutes"].bytes / facts_size.rows,
            day_s,
            week_s,
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def _time_report(store: FactStore, period: Period) -> float:
    """Return the seconds of a report, the best of three."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        await read_report(store.engine, period)
        took.append(time.perf_counter() - began)
    return min(took)
