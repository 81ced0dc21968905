"""Two inventories on one database: they share what there is, and never wait for each other in a circle."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from autogrocery.inventory.actions.assign_robots import Robots, assign_robots
from autogrocery.inventory.actions.heartbeat import heartbeat
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.core.picking import Outcome, Report
from autogrocery.inventory.core.stock import Line, Reserved
from autogrocery.inventory.store import holds, picks, robots
from autogrocery.kit.pg.db import Db, open_db
from tests.harness.inventory_crowd import SEEN_S, Silent, Wish, hold, insist, stock, violations

PROCESSES, ROUNDS = 8, 40


async def nobody_waited_for_ever(dsn: str) -> None:
    """Look for deadlocks after all others have left: a backend tells what it counted when it ends."""
    async with open_db(dsn, application="tests") as db:
        found = await db.row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert await violations(db) == []
    assert found is not None
    assert found["deadlocks"] == 0


async def test_two_hundred_buyers_in_two_processes_share_fifty_units(inventory_dsn: str) -> None:
    async with AsyncExitStack() as stack:
        shops = [await stack.enter_async_context(open_db(inventory_dsn, application="tests")) for _ in range(2)]
        await stock(shops[0], {"apple": 500, "milk": 50, "yoghurt": 500})
        baskets = [(Line("apple", 1), Line("milk", 1)), (Line("milk", 1), Line("yoghurt", 1))]

        async def buy(i: int) -> Reserved:
            order = uuid4()
            return await insist(
                lambda: reserve_items(shops[i % 2], order, baskets[(i + i // 2) % 2], 60, allow_partial=False)
            )

        answers = await asyncio.gather(*map(buy, range(200)))
        left = {line.sku: line.quantity for line in await holds.available(shops[0], ["apple", "milk", "yoghurt"])}
        assert await violations(shops[0]) == []
    sold = [answer for answer in answers if answer.refusal is None]
    assert len(sold) == 50
    assert left["milk"] == 0
    assert 1_000 - left["apple"] - left["yoghurt"] == 50


async def test_crossing_baskets_in_many_processes_never_wait_for_each_other(inventory_dsn: str) -> None:
    skus, shuffled = [f"sku-{n}" for n in range(10)], random.Random(1)

    def basket() -> Wish:
        return Wish(tuple(Line(sku, 1) for sku in shuffled.sample(skus, 8)))

    async with AsyncExitStack() as stack:
        shops = [await stack.enter_async_context(open_db(inventory_dsn, application="tests")) for _ in range(PROCESSES)]
        await stock(shops[0], dict.fromkeys(skus, 10_000))
        for _ in range(ROUNDS):
            await asyncio.gather(
                *(
                    insist(lambda db=db, order=uuid4(), wish=basket(): hold(db, order, wish))  # type: ignore[misc]  # noqa: B008
                    for db in shops
                )
            )
        left = sum(line.quantity for line in await holds.available(shops[0], skus))
        assert 10 * 10_000 - left == ROUNDS * PROCESSES * 8
    await nobody_waited_for_ever(inventory_dsn)


async def live(db: Db, number: int) -> None:
    """One order from its hold to its last report, or to its cancel; with the same goods as all others."""
    order, wanted = uuid4(), Robots(SEEN_S, 1_000)
    lines = tuple(
        Line(f"{aisle}-{n}", 1) for aisle in ("bread", "dairy") for n in sorted({number % 3, number % 5, number % 7})
    )
    assert (await insist(lambda: reserve_items(db, order, lines, 60, allow_partial=False))).refusal is None
    if number % 4 == 1:
        assert await insist(lambda: release_items(db, order, cancel=False))
        return
    dispatched = await insist(lambda: assign_robots(db, Silent(), order, lines, wanted))  # type: ignore[arg-type]
    assert len(dispatched.assignments) == 2
    if number % 4 == 2:
        assert await insist(lambda: release_items(db, order, cancel=True))
        return
    for share in dispatched.assignments:
        lease = await insist(
            lambda share=share: robots.start(db, share.assignment_id, share.robot_id, [share.robot_class], lease_s=60)  # type: ignore[misc]
        )
        assert lease is not None
        await insist(lambda share=share, lease=lease: heartbeat(db, share.robot_id, [lease.fence], lease_s=60))  # type: ignore[misc]
        told = Report(share.assignment_id, share.robot_id, lease.fence, 1, Outcome.PICKED, ())
        await insist(lambda told=told, share=share: picks.report(db, told, [share.robot_class]))  # type: ignore[misc]


@pytest.mark.timeout(120)
async def test_whole_lives_of_orders_in_two_processes_never_wait_for_each_other(inventory_dsn: str) -> None:
    async with (
        open_db(inventory_dsn, application="tests") as first,
        open_db(inventory_dsn, application="tests") as second,
    ):
        for aisle in ("bread", "dairy"):
            await stock(first, {f"{aisle}-{n}": 1_000 for n in range(7)}, aisle)
            await list_work(first, f"{aisle}-1", aisle, 1, seen_s=SEEN_S)
        await asyncio.gather(*(live(db, number) for number in range(60) for db in (first, second)))
        ended = await first.rows(
            "SELECT state, count(*) AS n FROM inventory.orders WHERE state <> 'HELD' GROUP BY state"
        )
    assert {row["state"]: row["n"] for row in ended} == {"COMPLETED": 60, "RELEASED": 60}
    await nobody_waited_for_ever(inventory_dsn)
