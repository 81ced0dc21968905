"""Several connection pools, as of several inventory processes, on one database: they never oversell or deadlock."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from autogrocery.inventory.actions.assign_robots import RobotFilter, assign_robots
from autogrocery.inventory.actions.heartbeat import heartbeat
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.core.picking import Outcome, Report
from autogrocery.inventory.core.stock import Line, ReserveResult
from autogrocery.inventory.store import holds, picks, robots
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit.pg.db import Db, open_db
from tests.harness.inventory_batches import (
    SEEN_S,
    HoldRequest,
    NullAnnouncer,
    hold,
    retry_unavailable,
    stock,
    violations,
)

PROCESSES, ROUNDS = 8, 40


async def check_no_deadlocks(dsn: str) -> None:
    """Check PostgreSQL's count of deadlocks. Backends publish it when they end, so all other pools must be closed."""
    async with open_db(dsn, application="tests") as db:
        found = await db.row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert await violations(db) == []
    assert found is not None
    assert found["deadlocks"] == 0


async def test_200_reservations_in_two_processes_sell_50_units(inventory_dsn: str) -> None:
    async with AsyncExitStack() as stack:
        dbs = [await stack.enter_async_context(open_db(inventory_dsn, application="tests")) for _ in range(2)]
        await stock(dbs[0], {"apple": 500, "milk": 50, "yoghurt": 500})
        baskets = [(Line("apple", 1), Line("milk", 1)), (Line("milk", 1), Line("yoghurt", 1))]

        async def buy(i: int) -> ReserveResult:
            order = uuid4()
            return await retry_unavailable(
                lambda: reserve_items(dbs[i % 2], order, baskets[(i + i // 2) % 2], 60, allow_partial=False)
            )

        answers = await asyncio.gather(*map(buy, range(200)))
        left = {line.sku: line.quantity for line in await holds.list_available(dbs[0], ["apple", "milk", "yoghurt"])}
        assert await violations(dbs[0]) == []
    sold = [answer for answer in answers if answer.refusal is None]
    assert len(sold) == 50
    assert left["milk"] == 0
    assert 1_000 - left["apple"] - left["yoghurt"] == 50


async def test_crossing_baskets_in_eight_processes_never_deadlock(inventory_dsn: str) -> None:
    skus, shuffled = [f"sku-{n}" for n in range(10)], random.Random(1)

    def basket() -> HoldRequest:
        return HoldRequest(tuple(Line(sku, 1) for sku in shuffled.sample(skus, 8)))

    async with AsyncExitStack() as stack:
        dbs = [await stack.enter_async_context(open_db(inventory_dsn, application="tests")) for _ in range(PROCESSES)]
        await stock(dbs[0], dict.fromkeys(skus, 10_000))
        for _ in range(ROUNDS):
            await asyncio.gather(
                *(
                    retry_unavailable(lambda db=db, order=uuid4(), wish=basket(): hold(db, order, wish))  # type: ignore[misc]  # noqa: B008
                    for db in dbs
                )
            )
        left = sum(line.quantity for line in await holds.list_available(dbs[0], skus))
        assert 10 * 10_000 - left == ROUNDS * PROCESSES * 8
    await check_no_deadlocks(inventory_dsn)


async def run_order(db: Db, number: int) -> None:
    """Run one order from its hold to its last report or its release; all orders use the same goods."""
    order, wanted = uuid4(), RobotFilter(SEEN_S, 1_000)
    lines = tuple(
        Line(f"{aisle}-{n}", 1) for aisle in ("bread", "dairy") for n in sorted({number % 3, number % 5, number % 7})
    )
    assert (await retry_unavailable(lambda: reserve_items(db, order, lines, 60, allow_partial=False))).refusal is None
    if number % 4 == 1:
        assert await retry_unavailable(lambda: release_items(db, order, cancel=False))
        return
    dispatched = await retry_unavailable(lambda: assign_robots(db, NullAnnouncer(), order, lines, wanted))  # type: ignore[arg-type]
    assert len(dispatched.assignments) == 2
    if number % 4 == 2:
        assert await retry_unavailable(lambda: release_items(db, order, cancel=True))
        return
    for share in dispatched.assignments:
        lease = await retry_unavailable(
            lambda share=share: robots.start(db, share.assignment_id, share.robot_id, [share.robot_class], lease_s=60)  # type: ignore[misc]
        )
        assert lease is not None
        await retry_unavailable(
            lambda share=share, lease=lease: heartbeat(db, share.robot_id, [lease.fence], lease_s=60)
        )  # type: ignore[misc]
        report = Report(share.assignment_id, share.robot_id, lease.fence, 1, Outcome.PICKED, ())
        await retry_unavailable(lambda report=report, share=share: picks.close(db, report, [share.robot_class]))  # type: ignore[misc]


@pytest.mark.timeout(120)
async def test_full_order_lifecycles_in_two_processes_never_deadlock(inventory_dsn: str) -> None:
    async with (
        open_db(inventory_dsn, application="tests") as first,
        open_db(inventory_dsn, application="tests") as second,
    ):
        for aisle in ("bread", "dairy"):
            await stock(first, {f"{aisle}-{n}": 1_000 for n in range(7)}, aisle)
            await list_work(first, PollCache(), f"{aisle}-1", aisle, 1, seen_s=SEEN_S)
        await asyncio.gather(*(run_order(db, number) for number in range(60) for db in (first, second)))
        ended = await first.rows(
            "SELECT state, count(*) AS n FROM inventory.orders WHERE state <> 'HELD' GROUP BY state"
        )
    assert {row["state"]: row["n"] for row in ended} == {"COMPLETED": 60, "RELEASED": 60}
    await check_no_deadlocks(inventory_dsn)
