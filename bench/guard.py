"""What an order costs, told so that CI can hold it: CPU as a multiple of a loop measured beside it, statements as counts.

Times say nothing on a shared machine, and CPU seconds little on another one; the ratio of two CPU times of one run travels.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import msgspec
import uvloop
from msgspec import Struct

from bench.job import Job, Line
from bench.measure import Place, baskets_of, measure
from bench.stage import count_violations, open_postgres, open_stage

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.stage import Stage

CONNECTIONS, ORDERS, WARM_UP_S, MOST_S = 16, 600, 2.0, 25.0
COUNTED_ORDERS = 100  # one after the other, so that no two of them share a statement
LINES = 2
CALIBRATIONS, ROUNDS = 51, 100
EXTENSION = "pg_stat_statements"
CALLED = """
SELECT regexp_replace(query, '\\s+', ' ', 'g') AS query, sum(calls)::bigint AS calls
  FROM pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND toplevel
 GROUP BY 1 HAVING sum(calls) >= $1 ORDER BY 2 DESC, 1
"""
SHOWN = 80


class Cost(Struct, frozen=True):
    """Of one order: CPU in calibration loops, and how often each statement is executed (those less than once are the clock's)."""

    gateway: float
    postgresql: float
    statements: dict[str, float]
    violations: int

    @property
    def calls(self) -> float:
        """Statements an order."""
        return round(sum(self.statements.values()), 3)


def calibration_us() -> float:
    """Return the CPU time of a loop of the kind of work that a gateway does: dictionaries, strings, JSON; a median."""

    def once() -> float:
        began = time.process_time()
        for turn in range(ROUNDS):
            order = {
                "order_id": f"{turn:032x}",
                "items": [{"sku": f"sku-{line}", "quantity": line} for line in range(8)],
            }
            found = msgspec.json.decode(msgspec.json.encode(order))
            assert len(found["items"]) == len(order["items"])
        return (time.process_time() - began) * 1e6

    return statistics.median(once() for _ in range(CALIBRATIONS))


async def cost(server: EmbeddedPostgres) -> Cost:
    """Run some hundred orders, and some one by one to count statements. `server` has the extension loaded."""
    async with open_stage(server, connections=CONNECTIONS) as stage:
        before_us = calibration_us()
        job = job_of(stage, CONNECTIONS, ORDERS, WARM_UP_S)
        place = Place(stage.dsn, stage.pids, partial(count_violations, stage.dsn))
        run = await measure(place, job, _nobody)
        loop_us = (before_us + calibration_us()) / 2.0
        connection = await asyncpg.connect(stage.dsn)
        try:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}")
            await connection.execute("SELECT pg_stat_statements_reset()")
            counted = await measure(place, job_of(stage, 1, COUNTED_ORDERS, 0.0), _nobody)
            assert counted.tally.all_orders == counted.tally.begun == COUNTED_ORDERS, counted.tally
            rows = await connection.fetch(CALLED, COUNTED_ORDERS)
        finally:
            await connection.close()
    return Cost(
        round(run.cpu_us["gateway"] / loop_us, 3),
        round(run.cpu_us["postgresql"] / loop_us, 3),
        {row["query"][:SHOWN]: round(row["calls"] / COUNTED_ORDERS, 3) for row in rows},
        run.violations + counted.violations,
    )


def job_of(stage: Stage, connections: int, orders: int, warm_up_s: float) -> Job:
    """Return a closed loop that ends after so many orders."""
    return Job(
        doors=stage.doors,
        connections=connections,
        seconds=MOST_S,
        tokens=stage.tokens,
        baskets=baskets_of(LINES),
        webhook_key=stage.keys.webhooks,
        warm_up_s=warm_up_s,
        orders=orders,
    )


def _nobody(_line: Line) -> None:
    """Watch nothing."""


def main() -> int:
    """Print what the guard sees."""
    with open_postgres(preload=EXTENSION) as server:
        found = uvloop.run(cost(server))
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
