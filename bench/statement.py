"""Where PostgreSQL spends time in the batched statement of a successful order, by EXPLAIN ANALYZE, which adds overhead.

Not included: parsing and planning, which happen once, and the flush of the commit, which the batch shares.
"""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

import asyncpg
from msgspec import Struct

from autogrocery.gateway.core.order import Cause, Outcome, Status
from autogrocery.gateway.store.writes import WRITE_BATCH, NewOrderRow, OrderChangeRow
from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.batch import PLANNER
from bench.environment import add_devices, fresh_database
from bench.pgbench import ROBOTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from autogrocery.kit.pg.batch import Item
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

BATCHES = 20
KEY = b"k" * 32
SHA256 = bytes(32)
TTL_S, PRICE_CENTS = 120.0, 129
US_A_MS = 1e3
MIN_US = 0.1  # of a part that is listed


class BatchCost(Struct, frozen=True):
    """The µs of an order in a batch of one kind of request: in total, and by trigger and write."""

    kind: str
    total_us: float
    part_us: dict[str, float]


async def measure_batches(server: EmbeddedPostgres, batch: int, lines: int) -> list[BatchCost]:
    """Preview, confirm and finish BATCHES batches of orders; returns the medians of each kind of batch."""
    dsn = await fresh_database(server)
    await add_devices(dsn, batch, KEY)
    plans: dict[str, list[dict[str, Any]]] = {}
    connection = await asyncpg.connect(dsn, server_settings=PLANNER)
    try:
        await connection.execute("SET statement_timeout = '60s'")
        for turn in range(BATCHES):
            ids = [uuid7() for _ in range(batch)]
            for kind, items in batches_of(ids, lines, turn):
                sql, parameters = WRITE_BATCH.call(items)
                text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *parameters)
                plans.setdefault(kind, []).append(json.loads(text)[0])
    finally:
        await connection.close()
    return [_cost_of(kind, executed, batch) for kind, executed in plans.items()]


def batches_of(ids: Sequence[UUID], lines: int, turn: int) -> Iterator[tuple[str, list[Item]]]:
    """Yield the batches of the same orders in turn: kind of request, and an item for each order."""
    epoch, total = turn + 1, lines * PRICE_CENTS
    numbered = list(enumerate(ids, 1))
    yield (
        "preview",
        [
            (
                NewOrderRow(one, number, "USD", total, lines, lines, SHA256, TTL_S, epoch, 3 * number),
                [(one, line, f"sku-{line}", f"sku-{line}", 1, 1, PRICE_CENTS) for line in range(1, lines + 1)],
                [],
            )
            for number, one in numbered
        ],
    )
    yield (
        "confirm",
        [
            (OrderChangeRow(one, Status.PROCESSING, Cause.DISPATCHED, epoch, 3 * number + 1, robots=ROBOTS), [], [])
            for number, one in numbered
        ],
    )
    yield (
        "webhook",
        [
            (
                OrderChangeRow(
                    one,
                    Status.COMPLETED,
                    Cause.PICKED,
                    epoch,
                    3 * number + 2,
                    total_cents=total,
                    outcome=Outcome.FULL,
                    sha256=SHA256,
                    webhook_id=f"msg_{one}",
                ),
                [],
                [],
            )
            for number, one in numbered
        ],
    )


def _cost_of(kind: str, plans: Sequence[dict[str, Any]], batch: int) -> BatchCost:
    spent_by_part: dict[str, list[float]] = {}
    for plan in plans:
        for part, spent_ms in _parts(plan):
            spent_by_part.setdefault(part, []).append(spent_ms)
    medians = {
        part: round(statistics.median(spent_ms) * US_A_MS / batch, 1) for part, spent_ms in spent_by_part.items()
    }
    total_us = statistics.median(plan["Execution Time"] for plan in plans) * US_A_MS / batch
    return BatchCost(kind, round(total_us, 1), {part: us for part, us in medians.items() if us >= MIN_US})


def _parts(plan: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for trigger in plan.get("Triggers", ()):
        yield f"foreign key {trigger['Constraint Name']}", trigger["Time"]
    yield from _writes(plan["Plan"])


def _writes(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the ms of each INSERT and UPDATE, without those of the plan nodes below it."""
    children = node.get("Plans", [])
    if node["Node Type"] == "ModifyTable":
        own_ms = node["Actual Total Time"] - sum(
            child["Actual Total Time"] * child["Actual Loops"] for child in children
        )
        yield f"{node['Operation'].upper()} {node['Relation Name']}", own_ms
    for child in children:
        yield from _writes(child)
