"""Steps of an order on goods with an expiry. Time passes by moving the dates in the database back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from autogrocery.inventory.actions.assign_robots import RobotFilter, assign_robots
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.report_pick import report_pick
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.core.lots import lot_code
from autogrocery.inventory.core.picking import Outcome, Pick, Report
from autogrocery.inventory.core.restock import RestockLine
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import dispatches, holds, robots
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit.process import clock
from tests.harness.inventory_batches import SEEN_S, NullAnnouncer

if TYPE_CHECKING:
    from autogrocery.inventory.core.picking import Acknowledgement
    from autogrocery.kit.pg.db import Db

QUEUE_MAX = 10_000
ROBOT = "dairy-1"


async def robot(db: Db) -> None:
    """Add the robot that picks everything here."""
    await list_work(db, PollCache(), ROBOT, "dairy", 1, seen_s=SEEN_S)


async def deliver(db: Db, sku: str, quantity: int, *, hours: float | None = None) -> str:
    """Restock goods that expire `hours` from now, or never; return their lot."""
    restock_id = uuid4()
    expiry_at = None if hours is None else clock.now() + timedelta(hours=hours)
    goods = [RestockLine(sku, sku, "dairy", quantity, 1, None, expiry_at)]
    assert await restock_items(db, PollCache(), NullAnnouncer(), restock_id, "farm", goods, shelved=True) is None  # type: ignore[arg-type]
    return lot_code(restock_id, sku)


# Moves the expiry of the lot $1 to now, and all moments of its SKU by as much.
MAKE_EXPIRED = """
WITH passed AS (
  SELECT sku, expiry_at - clock_timestamp() AS by FROM inventory.lots
   WHERE lot = $1 AND expiry_at > clock_timestamp()),
lots AS (
  UPDATE inventory.lots l SET expiry_at = expiry_at - by, recalled_at = recalled_at - by
    FROM passed WHERE l.sku = passed.sku),
picks AS (
  UPDATE inventory.assignments a SET closed_at = closed_at - by
    FROM passed JOIN inventory.order_lines l USING (sku) WHERE a.order_id = l.order_id)
UPDATE inventory.stock s SET sellable_until = sellable_until - by FROM passed WHERE s.sku = passed.sku
"""


async def expire(db: Db, lot: str) -> None:
    """Let a lot expire now, without writing it off."""
    await db.run(MAKE_EXPIRED, lot)


async def reserve(db: Db, quantity: int, sku: str = "milk", *, partial: bool = False) -> tuple[UUID, int]:
    """Hold units for a new order; return the order and the units granted."""
    order = uuid4()
    held = await reserve_items(db, order, (Line(sku, quantity),), 60, allow_partial=partial)
    return order, sum(line.quantity for line in held.lines)


async def assign(db: Db, order: UUID, quantity: int, sku: str = "milk") -> bool:
    """Dispatch an order of one line and start its assignment; return whether it was dispatched."""
    result = await assign_robots(db, NullAnnouncer(), order, (Line(sku, quantity),), RobotFilter(SEEN_S, QUEUE_MAX))  # type: ignore[arg-type]
    for share in result.assignments:
        await robots.start(db, share.assignment_id, share.robot_id, ["dairy"], lease_s=3_600)
    return result.refused is None


async def report(
    db: Db, order: UUID, picked: int | None = None, sku: str = "milk", outcome: Outcome = Outcome.PICKED
) -> Acknowledgement:
    """Report as the robot that started; all units are picked unless a count is given."""
    (share,) = await dispatches.list_of_order(db, order)
    row = await db.row("SELECT fence FROM inventory.assignments WHERE assignment_id = $1", share.assignment_id)
    assert row is not None
    picks = () if picked is None else (Pick(sku, picked),)
    return await report_pick(
        db, Report(share.assignment_id, share.robot_id, row["fence"], 1, outcome, picks), ["dairy"], lambda: None
    )


async def sell(db: Db, quantity: int, sku: str = "milk") -> UUID:
    """Hold, dispatch and pick a new order in full; return it."""
    order, granted = await reserve(db, quantity, sku)
    assert granted == quantity
    assert await assign(db, order, quantity, sku)
    await report(db, order, sku=sku)
    return order


async def picked(db: Db, order: UUID) -> int:
    """Return the picked units of an order."""
    row = await db.row("SELECT sum(picked)::int AS n FROM inventory.order_lines WHERE order_id = $1", order)
    assert row is not None
    count: int = row["n"]
    return count


async def picked_lots(db: Db, order: UUID) -> dict[str, int]:
    """Return the picked units of an order by lot."""
    rows = await db.rows("SELECT lot, quantity FROM inventory.lot_picks WHERE order_id = $1", order)
    return {row["lot"]: row["quantity"] for row in rows}


async def entries(db: Db, sku: str = "milk") -> dict[str, int]:
    """Return the units in the ledger by cause, without restocks."""
    rows = await db.rows(
        "SELECT cause, sum(delta)::int AS n FROM inventory.ledger WHERE sku = $1 AND cause <> 'restock' GROUP BY cause",
        sku,
    )
    return {row["cause"]: row["n"] for row in rows}


async def free(db: Db, sku: str = "milk") -> int:
    """Return the free units of a SKU."""
    (line,) = await holds.list_available(db, [sku])
    return line.quantity
