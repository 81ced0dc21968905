"""Nothing expired is sold: not from the instant on, whoever comes by when; what leaves the shelf for it is in the ledger."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.settle_lots import settle_due_lots
from autogrocery.inventory.core.picking import Outcome, Receipt
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import holds, lots, orders
from autogrocery.kit.errors import Invalid
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_crowd import violations
from tests.harness.inventory_dated import (
    assign,
    deliver,
    entries,
    expire,
    free,
    lots_got,
    picked,
    report,
    reserve,
    sell,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.kit.pg.db import Db


MANY, BEFORE = 100_000, 20
SOON = """
WITH soon AS (SELECT clock_timestamp() + interval '0.2 seconds' AS at),
lot AS (UPDATE inventory.lots SET expiry_at = soon.at FROM soon WHERE sku = $1)
UPDATE inventory.stock SET sellable_until = soon.at FROM soon WHERE sku = $1
"""
SOLD_LATE = """
SELECT o.created_at, t.expiry_at
  FROM inventory.orders o JOIN inventory.order_lines l USING (order_id) JOIN inventory.lots t USING (sku)
 WHERE sku = $1 AND o.created_at >= t.expiry_at
"""


async def test_what_expired_is_not_available_from_the_instant_on(db: Db) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    await deliver(db, "milk", 4, hours=2)
    await sell(db, 1)
    assert await free(db) == 6
    await expire(db, old)
    assert await free(db) == 4


async def test_a_buyer_gets_of_the_other_lots_at_the_first_call(db: Db) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    new = await deliver(db, "milk", 4, hours=2)
    await expire(db, old)
    order = await sell(db, 4)
    assert await lots_got(db, order) == {new: 4}
    assert await entries(db) == {"expired": -3}
    assert (await reserve(db, 1))[1] == 0


@pytest.mark.parametrize("wanted", [5, 9])
async def test_a_buyer_of_what_there_is_gets_nothing_expired_and_all_that_is_good(db: Db, wanted: int) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    await deliver(db, "milk", 4, hours=2)
    await expire(db, old)
    assert (await reserve(db, wanted, partial=True))[1] == 4


@pytest.mark.parametrize("by", ["reserve", "assign"])
async def test_a_hold_that_is_taken_anew_is_not_of_what_expired(db: Db, by: str) -> None:
    old = await deliver(db, "milk", 5, hours=1)
    await deliver(db, "milk", 2)
    order, _ = await reserve(db, 2)
    await db.run("UPDATE inventory.orders SET expires_at = now() WHERE order_id = $1", order)
    assert await holds.lapse(db) == 1
    await expire(db, old)
    if by == "reserve":
        assert (await reserve_items(db, order, (Line("milk", 2),), 60, allow_partial=False)).refusal is None
    else:
        assert await assign(db, order, 2)
    assert await entries(db) == {"expired": -5}


async def test_a_dispatch_without_a_hold_is_not_of_what_expired(db: Db) -> None:
    old = await deliver(db, "milk", 5, hours=1)
    await deliver(db, "milk", 2)
    await expire(db, old)
    order, got = await reserve(db, 3)
    assert got == 0
    assert not await assign(db, order, 3)
    assert await assign(db, order, 2)
    assert await report(db, order) is Receipt.ACCEPTED
    assert await picked(db, order) == 2


async def test_the_loop_takes_away_what_nobody_asks_for(db: Db) -> None:
    old = await deliver(db, "milk", 5, hours=1)
    await deliver(db, "rice", 5)
    await expire(db, old)
    assert await lots.due(db) == ("milk",)
    assert await settle_due_lots(db) is False
    assert await entries(db) == {"expired": -5}
    assert await lots.due(db) == ()


async def test_what_expires_first_is_drawn_first_whenever_it_came(db: Db) -> None:
    late = await deliver(db, "milk", 3, hours=9)
    first = await sell(db, 1)
    soon = await deliver(db, "milk", 2, hours=1)
    never = await deliver(db, "milk", 5)
    second, third = await sell(db, 3), await sell(db, 3)
    assert [await lots_got(db, one) for one in (first, second, third)] == [
        {late: 1},
        {soon: 2, late: 1},
        {late: 1, never: 2},
    ]


async def test_a_promise_that_other_lots_cover_is_kept(db: Db) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    new = await deliver(db, "milk", 3, hours=2)
    order, _ = await reserve(db, 3)
    await expire(db, old)
    assert await assign(db, order, 3)
    await report(db, order)
    assert await lots_got(db, order) == {new: 3}
    assert await entries(db) == {"expired": -3}


@pytest.mark.parametrize("late", ["held", "assigned"])
async def test_a_promise_that_nothing_covers_is_a_short_pick_whatever_the_robot_says(db: Db, late: str) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    new = await deliver(db, "milk", 2, hours=2)
    order, _ = await reserve(db, 4)
    if late == "assigned":
        assert await assign(db, order, 4)
    await expire(db, old)
    if late == "held":
        assert await assign(db, order, 4)
    assert await report(db, order) is Receipt.ACCEPTED
    assert await report(db, order) is Receipt.DUPLICATE
    assert await lots_got(db, order) == {new: 2}
    assert await entries(db) == {"expired": -3}
    row = await db.row("SELECT state FROM inventory.assignments WHERE order_id = $1", order)
    assert row is not None
    assert row["state"] == "SHORT"


async def test_an_order_of_which_all_has_expired_fails(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 3)
    assert await assign(db, order, 3)
    await expire(db, lot)
    await report(db, order)
    told = await orders.get(db, order)
    assert told is not None
    assert told.state == "FAILED"
    assert await entries(db) == {"expired": -3}


async def test_who_reports_first_gets_what_is_still_good(db: Db) -> None:
    lot = await deliver(db, "milk", 4, hours=1)
    await deliver(db, "milk", 2, hours=2)
    promised = [(await reserve(db, 2))[0] for _ in range(3)]
    for order in promised:
        assert await assign(db, order, 2)
    await expire(db, lot)
    for order in promised:
        await report(db, order)
    assert [await picked(db, order) for order in promised] == [2, 0, 0]


async def test_what_a_robot_leaves_because_it_expired_is_not_missing(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    await deliver(db, "milk", 2, hours=2)
    order, _ = await reserve(db, 5)
    assert await assign(db, order, 5)
    await expire(db, lot)
    await report(db, order, 1, outcome=Outcome.SHORT)
    assert await entries(db) == {"expired": -3, "shrink": -1}


async def test_a_robot_that_gives_up_beside_expired_units_leaves_the_good_ones(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    await deliver(db, "milk", 2, hours=2)
    order, _ = await reserve(db, 5)
    assert await assign(db, order, 5)
    await expire(db, lot)
    await report(db, order, 1, outcome=Outcome.FAILED)
    assert await picked(db, order) == 1
    assert await free(db) == 1
    assert await entries(db) == {"expired": -3}


@pytest.mark.parametrize("count", [{"milk": 6}, {"rice": 1}])
async def test_a_count_that_is_none_is_refused_beside_expired_units_too(db: Db, count: dict[str, int]) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 3)
    assert await assign(db, order, 3)
    await expire(db, lot)
    ((sku, wrong),) = count.items()
    with pytest.raises(Invalid):
        await report(db, order, wrong, sku)
    assert await report(db, order) is Receipt.ACCEPTED


async def test_what_expired_while_it_was_held_does_not_come_back_to_be_sold(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 2)
    await expire(db, lot)
    assert await free(db) == 0
    assert await release_items(db, order, cancel=True)
    assert await free(db) == 0
    assert (await reserve(db, 1))[1] == 0
    assert await entries(db) == {"expired": -3}


async def test_a_new_delivery_covers_what_had_expired_under_a_promise(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 3)
    assert await assign(db, order, 3)
    await expire(db, lot)
    await settle_due_lots(db)
    fresh = await deliver(db, "milk", 5, hours=2)
    assert await free(db) == 2
    await report(db, order)
    assert await lots_got(db, order) == {fresh: 3}


async def test_what_is_missing_is_corrected_on_the_shelf_in_the_ledger_and_in_its_lot(db: Db) -> None:
    lot = await deliver(db, "milk", 10, hours=1)
    order, _ = await reserve(db, 4)
    assert await assign(db, order, 4)
    await report(db, order, 1, outcome=Outcome.SHORT)
    assert await free(db) == 6
    assert await entries(db) == {"shrink": -3}
    (left,) = await lots.list_on_shelf(db, sku="milk", expiring_within=None, limit=9)
    assert (left.lot, left.received, left.on_shelf) == (lot, 10, 6)


async def test_lots_are_listed_by_what_expires_first(db: Db) -> None:
    never = await deliver(db, "milk", 1)
    late, soon = await deliver(db, "rice", 1, hours=48), await deliver(db, "milk", 1, hours=1)

    async def listed(sku: str | None = None, days: float | None = None) -> list[str]:
        within = None if days is None else timedelta(days=days)
        return [one.lot for one in await lots.list_on_shelf(db, sku=sku, expiring_within=within, limit=9)]

    assert await listed() == [soon, late, never]
    assert await listed(sku="milk") == [soon, never]
    assert await listed(days=1) == [soon]


async def test_buyers_at_the_last_units_around_the_instant_get_nothing_after_it(inventory_dsn: str) -> None:
    async with AsyncExitStack() as stack:
        shops = [await stack.enter_async_context(open_db(inventory_dsn, application="tests")) for _ in range(2)]
        for sku in ("milk", "rice", "soup"):
            await deliver(shops[0], sku, MANY, hours=1)
            sold = count(1)

            async def buy(db: Db, sku: str = sku, sold: Iterator[int] = sold) -> None:
                while (await reserve(db, 1, sku))[1]:
                    if next(sold) == BEFORE:
                        await db.run(SOON, sku)

            await asyncio.gather(*(buy(shops[i % 2]) for i in range(4)))
            assert not await shops[0].rows(SOLD_LATE, sku)
            assert await entries(shops[0], sku) == {"expired": next(sold) - 1 - MANY}
        assert await violations(shops[0]) == []
