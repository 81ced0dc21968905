"""The deeds of the reference inventory on goods that expire or are recalled, broken at every point."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid5

from autogrocery.inventory.actions.assign_robots import assign_robots
from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.actions.report_pick import report_pick
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.core.delivery import Delivered
from autogrocery.inventory.core.lots import lot_of
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import dispatches
from autogrocery.kit.errors import Conflict
from autogrocery.kit.process import clock
from tests.harness.inventory_dated import entries, expire
from tests.proofs.enumeration.deeds import Scenario
from tests.proofs.enumeration.inventory_deeds import do_start, picked_whole

if TYPE_CHECKING:
    from uuid import UUID

    from tests.proofs.enumeration.deeds import Subject
    from tests.proofs.enumeration.inventory_deeds import Rest
    from tests.proofs.enumeration.inventory_stage import InventoryStage


async def do_buy_dated(stage: InventoryStage, one: Subject) -> object:
    """Of goods that came in two lots, of which the first has expired."""
    held = await reserve_items(stage.db, one.order_id, (Line(_dated(one), 2),), 60, allow_partial=False)
    if held.refusal:
        raise Conflict("refused", held.refusal)
    return held


async def do_report_dated(stage: InventoryStage, one: Subject) -> object:
    (share,) = await dispatches.of_order(stage.db, one.order_id)
    return await report_pick(stage.db, picked_whole(stage, share), {share.robot_class}, stage.telling.wake)


async def do_recall(stage: InventoryStage, one: Subject) -> object:
    lot, _ = await recall_lot(stage.db, lot_of(_second(one), _dated(one)))
    return lot


async def do_settle(stage: InventoryStage, _one: Subject) -> object:
    return await stage.settling._once()


def _dated(one: Subject) -> str:
    return f"dated-{one.key}"


def _second(one: Subject) -> UUID:
    return uuid5(one.order_id, "second")


async def two_lots(stage: InventoryStage, one: Subject) -> None:
    for restock_id, hours in ((one.order_id, 1), (_second(one), 2)):
        expiry_at = clock.now() + timedelta(hours=hours)
        goods = [Delivered(_dated(one), "Dated", "dairy", 3, 90, None, expiry_at)]
        await restock_items(stage.db, stage.announcer, restock_id, "farm", goods, shelved=True)


async def expired(stage: InventoryStage, one: Subject) -> None:
    await two_lots(stage, one)
    await expire(stage.db, lot_of(one.order_id, _dated(one)))


async def started_on_dated(stage: InventoryStage, one: Subject) -> None:
    """All six are promised when the first three expire."""
    await two_lots(stage, one)
    lines = (Line(_dated(one), 6),)
    await reserve_items(stage.db, one.order_id, lines, 60, allow_partial=False)
    await assign_robots(stage.db, stage.announcer, one.order_id, lines, stage.robots)
    await do_start(stage, one)
    await expire(stage.db, lot_of(one.order_id, _dated(one)))


def _shelf_has(insisted_on: dict[str, int], *walks_away: dict[str, int]) -> Rest:
    """What became of the two lots: free units, units of the order that were picked, and what the ledger says beside deliveries."""

    async def rest(stage: InventoryStage, one: Subject, insisted: bool) -> list[str]:
        row = await stage.db.row(
            "SELECT on_hand::int AS free, picked::int FROM inventory.stock WHERE sku = $1", _dated(one)
        )
        assert row is not None
        found = {**row, **await entries(stage.db, _dated(one))}
        allowed = (insisted_on,) if insisted else (insisted_on, *walks_away)
        return [] if found in allowed else [f"the shelf has {found}"]

    return rest


DATED = (
    Scenario(
        "reserve beside what expired",
        do_buy_dated,
        expired,
        _shelf_has({"free": 1, "picked": 0, "expired": -3}, {"free": 3, "picked": 0, "expired": -3}),
    ),
    Scenario("settle what expired", do_settle, expired, _shelf_has({"free": 3, "picked": 0, "expired": -3})),
    Scenario(
        "report beside what expired",
        do_report_dated,
        started_on_dated,
        _shelf_has({"free": 0, "picked": 3, "expired": -3}, {"free": 0, "picked": 0}),
    ),
    Scenario(
        "recall", do_recall, two_lots, _shelf_has({"free": 3, "picked": 0, "recall": -3}, {"free": 6, "picked": 0})
    ),
)
