"""Generated facts in the embedded store: bytes of a fact on disk, and how long the report's queries take.

A year of MARTS marts: each order has three or four status changes, ids as the gateway makes them, a day's curve of
orders. The facts go through the tables of the migrations; minutes are computed by the writer's own statement.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from autogrocery.analytics.core.report import DAY_S, WEEK_S, Period
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.analytics.store.fact_store import ADD_MINUTES, FactStore
from autogrocery.analytics.store.report import read_report
from autogrocery.analytics.store.schema import Retention

if TYPE_CHECKING:
    from autogrocery.analytics.store.engine import Engine

MARTS: Final = 4
DAYS: Final = 364
WEEK_DAYS: Final = 7
SINCE_S: Final = 1_767_225_600  # 2026-01-01
KIB_OF_A_MIB: Final = 1_024
ROUNDS: Final = 5
FACTS_OF_ORDERS: Final = 3  # PREVIEWED, PROCESSING, COMPLETED; of one order in ten PREVIEWED, CANCELLED, and no third
INSERT_AT_ONCE: Final = 5_000_000
TABLES: Final = ("facts", "order_minutes")

# Of order `o`: begun at an even pace but for what its hash adds, which makes neighbours differ as orders do. An id is a
# UUID of version 7 as the gateway's: milliseconds, then random bits.
GENERATE: Final = """
-- bench.generate
INSERT INTO facts
WITH intDiv(number, 3) AS o, number % 3 AS step, cityHash64(o) AS h, sipHash64(o) AS g, h % 10 = 0 AS is_cancelled,
     toUInt64({since} * 1000 + intDiv(o * {span_ms}, {orders}) + intDiv(h, 16) % 60000) AS began_ms,
     toUInt64(4000 + g % 11000) AS confirm_ms, toUInt64(30000 + intDiv(h, 1048576) % 240000) AS pick_ms
SELECT concat('mart-', toString(1 + g % {marts})) AS store_id,
       toUUID(concat(hex(began_ms * 65536 + 28672 + h % 4096),
                     hex(9223372036854775808 + g % 4611686018427387904))) AS order_id,
       toUInt32(step + 1) AS version,
       multiIf(step = 0, 'PREVIEWED', is_cancelled, 'CANCELLED', step = 1, 'PROCESSING', 'COMPLETED') AS status,
       fromUnixTimestamp64Micro(toInt64(began_ms * 1000 + g % 1000
         + multiIf(step = 0, 0, step = 1, confirm_ms, confirm_ms + pick_ms) * 1000)) AS occurred_at,
       toUInt32(if(step = 2, pick_ms, 0)) AS duration_ms, toInt64(99 + intDiv(g, 8192) % 9000) AS total_cents,
       toUInt16(1 + intDiv(h, 128) % 24) AS item_count, toUInt16(1 + intDiv(h, 512) % 8) AS line_count,
       toUInt64({since}) * 1000000 + g % {marts} AS epoch, number + 1 AS sequence,
       toUInt64({since}) * 1000000 + intDiv(number, 5000) AS batch
  FROM numbers({first}, {count}) WHERE NOT (is_cancelled AND step = 2)
SETTINGS max_insert_block_size = 1000000
"""
MINUTES_OF_TIME: Final = (
    "SELECT DISTINCT store_id, toStartOfMinute(occurred_at) FROM facts"
    " WHERE toStartOfMinute(occurred_at) >= toDateTime({since}, 'UTC')"
    " AND toStartOfMinute(occurred_at) < toDateTime({until}, 'UTC')"
)
COUNT_FACTS: Final = """
-- bench.count_facts
SELECT count() AS facts FROM facts
"""
MEASURE_TABLES: Final = """
-- bench.measure_tables
SELECT table, sum(bytes_on_disk) AS bytes, sum(rows) AS rows, count() AS parts FROM system.parts
 WHERE database = currentDatabase() AND active GROUP BY table
"""
MEASURE_COLUMNS: Final = """
-- bench.measure_columns
SELECT column AS name, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns
 WHERE database = currentDatabase() AND active AND table = 'facts' GROUP BY column ORDER BY bytes DESC
"""


class Column(Struct, frozen=True):
    """A column of the facts and its compressed bytes."""

    name: str
    bytes: int


class Table(Struct, frozen=True):
    """A table's size on disk."""

    table: str
    bytes: int
    rows: int
    parts: int


class Storage(Struct, frozen=True, kw_only=True):
    """The figures of one number of generated facts.

    `report_s`: all of a report's queries, medians of ROUNDS; `first_*`: the first time of a process. `columns`: bytes
    of a fact by column. `minutes_rows`: of `order_minutes`. `rss_mib`: the most of the process.
    """

    facts: int
    bytes_of_fact: float
    bytes_with_minutes: float
    columns: dict[str, float]
    minutes_rows: int
    generated_s: float
    minutes_s: float
    day_report_s: float
    first_day_report_s: float
    week_report_s: float
    rss_mib: float


class _Facts(Struct, frozen=True):
    facts: int


async def measure_storage(facts: int, directory: Path) -> Storage:
    """Generate about so many facts in `directory`, compute their minutes and time reports."""
    async with open_embedded(directory) as engine:
        await FactStore(engine, Retention(3_650, 3_650)).load()
        started_s = time.monotonic()
        await generate(engine, facts)
        generated_s = time.monotonic() - started_s
        started_s = time.monotonic()
        for day in range(0, DAYS + 1, WEEK_DAYS):
            since_s = SINCE_S + day * DAY_S
            minutes = MINUTES_OF_TIME.format(since=since_s, until=since_s + WEEK_S)
            await engine.run(ADD_MINUTES, minutes=minutes)
        minutes_s = time.monotonic() - started_s
    async with open_embedded(directory) as engine:  # as a process that has just been started
        days = await time_reports(engine, DAY_S)
        weeks = await time_reports(engine, WEEK_S)
        (count,) = await engine.rows(COUNT_FACTS, _Facts)
        sizes = {one.table: one for one in await engine.rows(MEASURE_TABLES, Table)}
        columns = await engine.rows(MEASURE_COLUMNS, Column)
    return Storage(
        facts=count.facts,
        bytes_of_fact=round(sizes["facts"].bytes / count.facts, 2),
        bytes_with_minutes=round(sum(sizes[name].bytes for name in TABLES) / count.facts, 2),
        columns={one.name: round(one.bytes / count.facts, 2) for one in columns},
        minutes_rows=sizes["order_minutes"].rows,
        generated_s=round(generated_s, 1),
        minutes_s=round(minutes_s, 1),
        first_day_report_s=round(days[0], 3),
        day_report_s=round(statistics.median(days[1:]), 3),
        week_report_s=round(statistics.median(weeks[1:]), 3),
        rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_OF_A_MIB, 1),
    )


async def generate(engine: Engine, facts: int) -> None:
    """Insert the facts of DAYS days; one in thirty is left out, since cancelled orders have no third."""
    for first in range(0, facts, INSERT_AT_ONCE):
        await engine.run(
            GENERATE,
            since=SINCE_S,
            span_ms=DAYS * DAY_S * 1_000,
            orders=max(1, facts // FACTS_OF_ORDERS),
            marts=MARTS,
            first=first,
            count=min(INSERT_AT_ONCE, facts - first),
        )


async def time_reports(engine: Engine, length_s: int) -> list[float]:
    """Return the seconds that a report of all marts takes, ROUNDS + 1 times, each of another day or week."""
    took_s = []
    for turn in range(ROUNDS + 1):
        since_s = SINCE_S + (100 + 11 * turn) * DAY_S
        started_s = time.monotonic()
        report = await read_report(engine, Period(since_s, since_s + length_s))
        took_s.append(time.monotonic() - started_s)
        assert sum(step.orders for step in report.steps) > 0
        assert report.outcomes
        assert report.stages
    return took_s


def main() -> None:
    """Print the figures of `argv[1]` facts, which live below the directory `argv[2]` meanwhile, as a line of JSON."""
    with tempfile.TemporaryDirectory(prefix="agm-", dir=sys.argv[2]) as home:
        storage = asyncio.run(measure_storage(int(sys.argv[1]), Path(home)))
    sys.stdout.buffer.write(msgspec.json.encode(storage) + b"\n")


if __name__ == "__main__":
    main()
