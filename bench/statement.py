"""Where PostgreSQL's time goes in the statement of an order's happy path: told by EXPLAIN ANALYZE, which makes it dearer.

What it does not tell: parsing and planning are done once, and the commit's flush is shared by the batch.
"""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

import asyncpg
from msgspec import Struct

from autogrocery.gateway.core.order import Cause, Outcome, Status
from autogrocery.gateway.store.writes import WRITE, WRITE_BATCH, WriteRow
from autogrocery.kit.pg.batch import PLANNER
from autogrocery.kit.process import clock
from bench.pgbench import ROBOTS
from bench.stage import add_devices, fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from autogrocery.kit.pg.batch import Item
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

BATCHES = 20
KEY = b"k" * 32
SHA256 = bytes(32)
TTL_S, PRICE_CENTS = 120.0, 129
MS = 1e3


class Share(Struct, frozen=True):
    """What one kind of change costs in a batch, in µs of an order: `all_us`, and of it by what is done."""

    kind: str
    all_us: float
    of_it_us: dict[str, float]


async def shares(server: EmbeddedPostgres, batch: int, lines: int) -> list[Share]:
    """Preview, dispatch and finish batches of orders; medians over the batches."""
    dsn = await fresh_database(server)
    await add_devices(dsn, batch, KEY)
    told: dict[str, list[dict[str, Any]]] = {}
    connection = await asyncpg.connect(dsn, server_settings=PLANNER)
    try:
        await connection.execute("SET statement_timeout = '60s'")
        for turn in range(BATCHES):
            ids = [clock.uuid7() for _ in range(batch)]
            for kind, items in stages(ids, lines, turn):
                text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {WRITE}", *WRITE_BATCH.columns(items))
                told.setdefault(kind, []).append(json.loads(text)[0])
    finally:
        await connection.close()
    return [_share(kind, plans, batch) for kind, plans in told.items()]


def stages(ids: Sequence[UUID], lines: int, turn: int) -> Iterator[tuple[str, list[Item]]]:
    """Yield what becomes of some orders: the items of each batch."""
    epoch, total = turn + 1, lines * PRICE_CENTS
    numbered = list(enumerate(ids, 1))
    yield (
        "preview",
        [
            (
                WriteRow(
                    one,
                    Status.PREVIEWED,
                    Cause.PREVIEWED,
                    epoch,
                    3 * number,
                    number,
                    "USD",
                    total,
                    lines,
                    lines,
                    SHA256,
                    TTL_S,
                ),
                [(one, line, f"sku-{line}", f"sku-{line}", 1, 1, PRICE_CENTS) for line in range(1, lines + 1)],
                [],
            )
            for number, one in numbered
        ],
    )
    yield (
        "confirm",
        [
            (WriteRow(one, Status.PROCESSING, Cause.DISPATCHED, epoch, 3 * number + 1, robots=ROBOTS), [], [])
            for number, one in numbered
        ],
    )
    yield (
        "webhook",
        [
            (
                WriteRow(
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


def _share(kind: str, plans: Sequence[dict[str, Any]], batch: int) -> Share:
    found: dict[str, list[float]] = {}
    for plan in plans:
        for what, spent_ms in _parts(plan):
            found.setdefault(what, []).append(spent_ms)
    medians = {what: round(statistics.median(spent_ms) * MS / batch, 1) for what, spent_ms in found.items()}
    whole = statistics.median(plan["Execution Time"] for plan in plans) * MS / batch
    return Share(kind, round(whole, 1), {what: us for what, us in medians.items() if us >= 0.1})  # noqa: PLR2004 - else nothing


def _parts(plan: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for trigger in plan.get("Triggers", ()):
        yield f"foreign key {trigger['Constraint Name']}", trigger["Time"]
    yield from _writes(plan["Plan"])


def _writes(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield each INSERT and UPDATE, without the time of what it reads from."""
    below = node.get("Plans", [])
    if node["Node Type"] == "ModifyTable":
        own_ms = node["Actual Total Time"] - sum(one["Actual Total Time"] * one["Actual Loops"] for one in below)
        yield f"{node['Operation'].upper()} {node['Relation Name']}", own_ms
    for one in below:
        yield from _writes(one)
