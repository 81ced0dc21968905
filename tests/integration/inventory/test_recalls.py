"""A recall writes off a lot's free units at once and for good, and lists the orders that got units of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.core.picking import Outcome
from autogrocery.inventory.store import ledger
from autogrocery.kit.errors import NotFound
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
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


async def recipients(db: Db, lot: str) -> dict[UUID, int | None]:
    return {one.order_id: one.quantity for one in (await recall_lot(db, lot)).recipients}


async def test_recall_writes_off_free_units_once(db: Db) -> None:
    lot = await deliver(db, "milk", 9, hours=1)
    await deliver(db, "milk", 5, hours=2)
    first, second = await sell(db, 2), await sell(db, 3)
    assert await recipients(db, lot) == {first: 2, second: 3}
    assert await free(db) == 5
    assert await entries(db) == {"recall": -4}
    assert (await recall_lot(db, lot)).lot.on_shelf == 0
    assert await recipients(db, lot) == {first: 2, second: 3}
    assert await entries(db) == {"recall": -4}


async def test_recall_lists_only_orders_with_units_of_the_lot(db: Db) -> None:
    first = await deliver(db, "milk", 2, hours=1)
    second = await deliver(db, "milk", 9, hours=2)
    orders = [await sell(db, 1), await sell(db, 2), await sell(db, 2)]
    await deliver(db, "rice", 9)
    await sell(db, 4, "rice")
    assert await recipients(db, first) == {orders[0]: 1, orders[1]: 1}
    assert await recipients(db, second) == {orders[1]: 1, orders[2]: 2}


async def test_recall_of_expired_lot_lists_its_orders(db: Db) -> None:
    lot = await deliver(db, "milk", 2, hours=1)
    order = await sell(db, 1)
    await expire(db, lot)
    assert (await reserve(db, 1))[1] == 0
    assert await recipients(db, lot) == {order: 1}
    assert await entries(db) == {"expired": -1}


async def test_recall_of_unknown_lot_raises_not_found(db: Db) -> None:
    await deliver(db, "milk", 2)
    with pytest.raises(NotFound):
        await recall_lot(db, "0" * 12)
    assert await free(db) == 2


async def test_promised_units_of_a_recalled_lot_are_a_short_pick(db: Db) -> None:
    lot = await deliver(db, "milk", 3, hours=1)
    other = await deliver(db, "milk", 1, hours=2)
    order, _ = await reserve(db, 4)
    recalled = await recall_lot(db, lot)
    assert (recalled.lot.on_shelf, recalled.recipients) == (3, ())
    assert await assign(db, order, 4)
    await report(db, order)
    assert await picked_lots(db, order) == {other: 1}
    assert await entries(db) == {"recall": -3}
    assert await recipients(db, lot) == {}


async def test_order_at_work_during_the_recall_is_listed_without_quantity(db: Db) -> None:
    lot = await deliver(db, "milk", 4, hours=1)
    await deliver(db, "milk", 9, hours=2)
    at_work, empty, later = [(await reserve(db, 2))[0] for _ in range(3)]
    for order in (at_work, empty):
        assert await assign(db, order, 2)
    assert await recipients(db, lot) == dict.fromkeys([at_work, empty])
    assert await assign(db, later, 2)
    await report(db, at_work)
    await report(db, empty, 0, outcome=Outcome.FAILED)
    await report(db, later)
    assert [await picked(db, order) for order in (at_work, empty, later)] == [2, 0, 2]
    assert await recipients(db, lot) == {at_work: None}


async def test_restock_after_a_recall_is_on_sale(db: Db) -> None:
    lot = await deliver(db, "milk", 3)
    assert await recipients(db, lot) == {}
    fresh = await deliver(db, "milk", 2)
    order = await sell(db, 2)
    assert await picked_lots(db, order) == {fresh: 2}


async def test_ledger_has_order_and_robot_of_short_pick_and_lot_of_recall(db: Db) -> None:
    lot = await deliver(db, "milk", 5)
    order, _ = await reserve(db, 2)
    assert await assign(db, order, 2)
    await report(db, order, 1)
    await recall_lot(db, lot)
    found = await ledger.list_entries(db, sku="milk", cause=None, limit=9)
    assert [(one.cause, one.delta, one.lot, one.order_id, one.robot_id) for one in found] == [
        ("recall", -3, lot, None, None),
        ("shrink", -1, None, order, "dairy-1"),
        ("restock", 5, None, None, None),
    ]
    assert len(await ledger.list_entries(db, sku=None, cause="shrink", limit=9)) == 1
    assert await ledger.list_entries(db, sku="rice", cause=None, limit=9) == ()
