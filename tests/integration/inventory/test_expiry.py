"""Expired units are never sold, from their expiry on, and are entered in the ledger when written off."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.write_off_lots import write_off_due_lots
from autogrocery.inventory.core.picking import Acknowledgement, Outcome
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import holds, lots, orders
from autogrocery.kit.errors import Invalid
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_batches import violations
from tests.harness.inventory_lots import (
    assign,
    deliver,
    entries,
    expire,
    free,
    picked,
    picked_lots,
    report,
    reserve,
    sell,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autogrocery.kit.pg.db import Db


MANY, BEFORE = 100_000, 20  # units on the shelf; units sold before the expiry is set
# Lets the lot of the SKU $1 expire in 0.2 s.
EXPIRE_SOON = """
WITH soon AS (SELECT clock_timestamp() + interval '0.2 seconds' AS at),
lot AS (UPDATE inventory.lots SET expiry_at = soon.at FROM soon WHERE sku = $1)
UPDATE inventory.stock SET sellable_until = soon.at FROM soon WHERE sku = $1
"""
# Orders of the SKU $1 that were created after its lot had expired.
SOLD_LATE = """
SELECT o.created_at, t.expiry_at
  FROM inventory.orders o JOIN inventory.order_lines l USING (order_id) JOIN inventory.lots t USING (sku)
 WHERE sku = $1 AND o.created_at >= t.expiry_at
"""


async def test_expired_units_are_unavailable_at_once(db: Db) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    await deliver(db, "milk", 4, hours=2)
    await sell(db, 1)
    assert await free(db) == 6
    await expire(db, old)
    assert await free(db) == 4


async def test_first_reservation_after_expiry_gets_the_other_lots(db: Db) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    new = await deliver(db, "milk", 4, hours=2)
    await expire(db, old)
    order = await sell(db, 4)
    assert await picked_lots(db, order) == {new: 4}
    assert await entries(db) == {"expired": -3}
    assert (await reserve(db, 1))[1] == 0


@pytest.mark.parametrize("wanted", [5, 9])
async def test_partial_reservation_gets_all_good_units_and_none_expired(db: Db, wanted: int) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    await deliver(db, "milk", 4, hours=2)
    await expire(db, old)
    assert (await reserve(db, wanted, partial=True))[1] == 4


@pytest.mark.parametrize("by", ["reserve", "assign"])
async def test_lapsed_hold_is_retaken_from_unexpired_lots(db: Db, by: str) -> None:
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


async def test_dispatch_without_hold_takes_unexpired_units(db: Db) -> None:
    old = await deliver(db, "milk", 5, hours=1)
    await deliver(db, "milk", 2)
    await expire(db, old)
    order, granted = await reserve(db, 3)
    assert granted == 0
    assert not await assign(db, order, 3)
    assert await assign(db, order, 2)
    assert await report(db, order) is Acknowledgement.ACCEPTED
    assert await picked(db, order) == 2


async def test_loop_writes_off_expired_units_without_any_call(db: Db) -> None:
    old = await deliver(db, "milk", 5, hours=1)
    await deliver(db, "rice", 5)
    await expire(db, old)
    assert await lots.list_due(db) == ("milk",)
    assert await write_off_due_lots(db) is False
    assert await entries(db) == {"expired": -5}
    assert await lots.list_due(db) == ()


async def test_lot_that_expires_first_is_drawn_first(db: Db) -> None:
    late = await deliver(db, "milk", 3, hours=9)
    first = await sell(db, 1)
    soon = await deliver(db, "milk", 2, hours=1)
    never = await deliver(db, "milk", 5)
    second, third = await sell(db, 3), await sell(db, 3)
    assert [await picked_lots(db, one) for one in (first, second, third)] == [
        {late: 1},
        {soon: 2, late: 1},
        {late: 1, never: 2},
    ]


async def test_expired_hold_is_served_from_other_lots(db: Db) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    new = await deliver(db, "milk", 3, hours=2)
    order, _ = await reserve(db, 3)
    await expire(db, old)
    assert await assign(db, order, 3)
    await report(db, order)
    assert await picked_lots(db, order) == {new: 3}
    assert await entries(db) == {"expired": -3}


@pytest.mark.parametrize("late", ["held", "assigned"])
async def test_expired_units_that_no_lot_covers_are_a_short_pick(db: Db, late: str) -> None:
    old = await deliver(db, "milk", 3, hours=1)
    new = await deliver(db, "milk", 2, hours=2)
    order, _ = await reserve(db, 4)
    if late == "assigned":
        assert await assign(db, order, 4)
    await expire(db, old)
    if late == "held":
        assert await assign(db, order, 4)
    assert await report(db, order) is Acknowledgement.ACCEPTED
    assert await report(db, order) is Acknowledgement.DUPLICATE
    assert await picked_lots(db, order) == {new: 2}
    assert await entries(db) == {"expired": -3}
    row = await db.row("SELECT state FROM inventory.assignments WHERE order_id = $1", order)
    assert row is not None
    assert row["state"] == "SHORT"


async def test_order_with_all_units_expired_fails(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 3)
    assert await assign(db, order, 3)
    await expire(db, lot)
    await report(db, order)
    found = await orders.get(db, order)
    assert found is not None
    assert found.state == "FAILED"
    assert await entries(db) == {"expired": -3}


async def test_first_report_gets_the_remaining_good_units(db: Db) -> None:
    lot = await deliver(db, "milk", 4, hours=1)
    await deliver(db, "milk", 2, hours=2)
    promised = [(await reserve(db, 2))[0] for _ in range(3)]
    for order in promised:
        assert await assign(db, order, 2)
    await expire(db, lot)
    for order in promised:
        await report(db, order)
    assert [await picked(db, order) for order in promised] == [2, 0, 0]


async def test_expired_units_left_by_a_robot_are_not_shrink(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    await deliver(db, "milk", 2, hours=2)
    order, _ = await reserve(db, 5)
    assert await assign(db, order, 5)
    await expire(db, lot)
    await report(db, order, 1, outcome=Outcome.SHORT)
    assert await entries(db) == {"expired": -3, "shrink": -1}


async def test_failed_pick_leaves_good_units_on_sale_beside_expired_ones(db: Db) -> None:
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
async def test_invalid_count_is_refused_beside_expired_units(db: Db, count: dict[str, int]) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 3)
    assert await assign(db, order, 3)
    await expire(db, lot)
    ((sku, wrong),) = count.items()
    with pytest.raises(Invalid):
        await report(db, order, wrong, sku)
    assert await report(db, order) is Acknowledgement.ACCEPTED


async def test_released_units_that_expired_while_held_are_written_off(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 2)
    await expire(db, lot)
    assert await free(db) == 0
    assert await release_items(db, order, cancel=True)
    assert await free(db) == 0
    assert (await reserve(db, 1))[1] == 0
    assert await entries(db) == {"expired": -3}


async def test_new_restock_covers_promised_units_that_expired(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    order, _ = await reserve(db, 3)
    assert await assign(db, order, 3)
    await expire(db, lot)
    await write_off_due_lots(db)
    fresh = await deliver(db, "milk", 5, hours=2)
    assert await free(db) == 2
    await report(db, order)
    assert await picked_lots(db, order) == {fresh: 3}


async def test_missing_units_are_corrected_in_stock_ledger_and_lot(db: Db) -> None:
    lot = await deliver(db, "milk", 10, hours=1)
    order, _ = await reserve(db, 4)
    assert await assign(db, order, 4)
    await report(db, order, 1, outcome=Outcome.SHORT)
    assert await free(db) == 6
    assert await entries(db) == {"shrink": -3}
    (left,) = await lots.list_on_shelf(db, sku="milk", expiring_within=None, limit=9)
    assert (left.lot, left.received, left.on_shelf) == (lot, 10, 6)


async def test_lots_are_listed_by_expiry(db: Db) -> None:
    never = await deliver(db, "milk", 1)
    late, soon = await deliver(db, "rice", 1, hours=48), await deliver(db, "milk", 1, hours=1)

    async def listed(sku: str | None = None, days: float | None = None) -> list[str]:
        within = None if days is None else timedelta(days=days)
        return [one.lot for one in await lots.list_on_shelf(db, sku=sku, expiring_within=within, limit=9)]

    assert await listed() == [soon, late, never]
    assert await listed(sku="milk") == [soon, never]
    assert await listed(days=1) == [soon]


async def test_no_reservation_after_expiry_gets_expired_units(inventory_dsn: str) -> None:
    async with AsyncExitStack() as stack:
        dbs = [await stack.enter_async_context(open_db(inventory_dsn, application="tests")) for _ in range(2)]
        for sku in ("milk", "rice", "soup"):
            await deliver(dbs[0], sku, MANY, hours=1)
            sold = count(1)

            async def buy(db: Db, sku: str = sku, sold: Iterator[int] = sold) -> None:
                while (await reserve(db, 1, sku))[1]:
                    if next(sold) == BEFORE:
                        await db.run(EXPIRE_SOON, sku)

            await asyncio.gather(*(buy(dbs[i % 2]) for i in range(4)))
            assert not await dbs[0].rows(SOLD_LATE, sku)
            assert await entries(dbs[0], sku) == {"expired": next(sold) - 1 - MANY}
        assert await violations(dbs[0]) == []
