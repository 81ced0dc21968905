"""Scenarios of the reference inventory with lots that expire or are recalled, for fault injection at every point."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid5

from autogrocery.inventory.actions.assign_robots import assign_robots
from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.actions.report_pick import report_pick
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.core.lots import lot_code
from autogrocery.inventory.core.restock import RestockLine
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import dispatches
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit.errors import Conflict
from autogrocery.kit.process import clock
from tests.harness.inventory_lots import entries, expire
from tests.proofs.enumeration.inventory_scenarios import do_start, picked_whole
from tests.proofs.enumeration.scenario import Scenario

if TYPE_CHECKING:
    from uuid import UUID

    from tests.proofs.enumeration.inventory_environment import InventoryEnvironment
    from tests.proofs.enumeration.inventory_scenarios import Rest
    from tests.proofs.enumeration.scenario import Subject


async def do_buy_dated(env: InventoryEnvironment, subject: Subject) -> object:
    """Reserve goods that have two lots, the first of them expired."""
    held = await reserve_items(env.db, subject.order_id, (Line(_dated(subject), 2),), 60, allow_partial=False)
    if held.refusal:
        raise Conflict("refused", held.refusal)
    return held


async def do_report_dated(env: InventoryEnvironment, subject: Subject) -> object:
    (share,) = await dispatches.list_of_order(env.db, subject.order_id)
    return await report_pick(env.db, picked_whole(env, share), {share.robot_class}, env.webhook_loop.wake)


async def do_recall(env: InventoryEnvironment, subject: Subject) -> object:
    recalled = await recall_lot(env.db, lot_code(_second(subject), _dated(subject)))
    return recalled.lot


async def do_settle(env: InventoryEnvironment, _subject: Subject) -> object:
    return await env.lot_loop._once()


def _dated(subject: Subject) -> str:
    return f"dated-{subject.key}"


def _second(subject: Subject) -> UUID:
    return uuid5(subject.order_id, "second")


async def two_lots(env: InventoryEnvironment, subject: Subject) -> None:
    for restock_id, hours in ((subject.order_id, 1), (_second(subject), 2)):
        expiry_at = clock.now() + timedelta(hours=hours)
        goods = [RestockLine(_dated(subject), "Dated", "dairy", 3, 90, None, expiry_at)]
        await restock_items(env.db, PollCache(), env.announcer, restock_id, "farm", goods, shelved=True)


async def expired(env: InventoryEnvironment, subject: Subject) -> None:
    await two_lots(env, subject)
    await expire(env.db, lot_code(subject.order_id, _dated(subject)))


async def started_on_dated(env: InventoryEnvironment, subject: Subject) -> None:
    """Assign and start all six units, then let the first three expire."""
    await two_lots(env, subject)
    lines = (Line(_dated(subject), 6),)
    await reserve_items(env.db, subject.order_id, lines, 60, allow_partial=False)
    await assign_robots(env.db, env.announcer, subject.order_id, lines, env.robots)
    await do_start(env, subject)
    await expire(env.db, lot_code(subject.order_id, _dated(subject)))


def _lots_are(retries: dict[str, int], *gives_up: dict[str, int]) -> Rest:
    """Require the free and the picked units of the two lots, and the ledger's entries other than deliveries."""

    async def check(env: InventoryEnvironment, subject: Subject, retried: bool) -> list[str]:
        row = await env.db.row(
            "SELECT on_hand::int AS free, picked::int FROM inventory.stock WHERE sku = $1", _dated(subject)
        )
        assert row is not None
        found = {**row, **await entries(env.db, _dated(subject))}
        allowed = (retries,) if retried else (retries, *gives_up)
        return [] if found in allowed else [f"the lots are {found}"]

    return check


DATED = (
    Scenario(
        "reserve beside what expired",
        do_buy_dated,
        expired,
        _lots_are({"free": 1, "picked": 0, "expired": -3}, {"free": 3, "picked": 0, "expired": -3}),
    ),
    Scenario("settle what expired", do_settle, expired, _lots_are({"free": 3, "picked": 0, "expired": -3})),
    Scenario(
        "report beside what expired",
        do_report_dated,
        started_on_dated,
        _lots_are({"free": 0, "picked": 3, "expired": -3}, {"free": 0, "picked": 0}),
    ),
    Scenario(
        "recall", do_recall, two_lots, _lots_are({"free": 3, "picked": 0, "recall": -3}, {"free": 6, "picked": 0})
    ),
)
