"""What an order costs, in units that a test can bound on any machine: CPU as a multiple of a loop, and statements.

Elapsed times depend on the load of a shared machine and CPU seconds on its processor; the ratio of two CPU times that
are measured in one run depends on neither.
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

from bench.environment import count_violations, open_environment, open_postgres
from bench.job import Job, LoadEvent
from bench.measure import LoadTarget, make_baskets, measure

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.environment import Environment

CONNECTIONS, ORDERS, WARM_UP_S, MAX_S = 16, 600, 2.0, 25.0
COUNTED_ORDERS = 100  # one at a time, so that no two of them share a statement
LINES = 3
CALIBRATIONS, ROUNDS = 51, 100
EXTENSION = "pg_stat_statements"
CALLS = """
SELECT regexp_replace(query, '\\s+', ' ', 'g') AS query, sum(calls)::bigint AS calls
  FROM pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND toplevel
 GROUP BY 1 HAVING sum(calls) >= $1 ORDER BY 2 DESC, 1
"""
SHOWN = 80  # characters of a statement


class OrderCost(Struct, frozen=True):
    """The cost of one order: CPU in calibration loops, and executions by statement.

    Statements that run less than once an order belong to timed loops and are left out.
    """

    gateway: float
    postgresql: float
    statements: dict[str, float]
    violations: int

    @property
    def calls(self) -> float:
        """Number of statements that an order executes."""
        return round(sum(self.statements.values()), 3)


def calibration_loop_us() -> float:
    """Return the median CPU µs of a loop with a gateway's kind of work: dictionaries, strings, JSON."""

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


async def measure_order_cost(server: EmbeddedPostgres) -> OrderCost:
    """Measure CPU under load, then count statements of orders one at a time. `server` has EXTENSION loaded.

    The devices have no e-mail address: this is the order alone, and receipts have goals of their own.
    """
    async with open_environment(server, connections=CONNECTIONS, email=False) as environment:
        before_us = calibration_loop_us()
        job = closed_loop(environment, CONNECTIONS, ORDERS, WARM_UP_S)
        target = LoadTarget(environment.dsn, environment.pids, partial(count_violations, environment.dsn))
        run = await measure(target, job, _ignore)
        loop_us = (before_us + calibration_loop_us()) / 2.0
        connection = await asyncpg.connect(environment.dsn)
        try:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}")
            await connection.execute("SELECT pg_stat_statements_reset()")
            counted = await measure(target, closed_loop(environment, 1, COUNTED_ORDERS, 0.0), _ignore)
            assert counted.tally.all_orders == counted.tally.begun == COUNTED_ORDERS, counted.tally
            rows = await connection.fetch(CALLS, COUNTED_ORDERS)
        finally:
            await connection.close()
    return OrderCost(
        round(run.cpu_us["gateway"] / loop_us, 3),
        round(run.cpu_us["postgresql"] / loop_us, 3),
        {row["query"][:SHOWN]: round(row["calls"] / COUNTED_ORDERS, 3) for row in rows},
        run.violations + counted.violations,
    )


def closed_loop(environment: Environment, connections: int, orders: int, warm_up_s: float) -> Job:
    """Return a closed loop that ends after `orders` orders."""
    return Job(
        ports=environment.ports,
        connections=connections,
        seconds=MAX_S,
        tokens=environment.tokens,
        baskets=make_baskets(LINES),
        webhook_key=environment.keys.webhooks,
        warm_up_s=warm_up_s,
        orders=orders,
    )


def _ignore(_event: LoadEvent) -> None:
    """Ignore progress."""


def main() -> int:
    """Print the cost of an order."""
    with open_postgres(preload=EXTENSION) as server:
        cost = uvloop.run(measure_order_cost(server))
    print(msgspec.json.format(msgspec.json.encode(cost)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
