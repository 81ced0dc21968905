"""The deeds of the reference inventory, broken at every point as the gateway's are: K1 to K5 whatever dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autogrocery.contracts.webhook import UpdateRestock
from autogrocery.inventory.actions.assign_robots import assign_robots
from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.report_pick import report_pick
from autogrocery.inventory.actions.report_putaway import report_putaway
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.actions.start_pick import start_pick
from autogrocery.inventory.core.delivery import Delivered
from autogrocery.inventory.core.picking import Outcome, Report
from autogrocery.inventory.core.putaway import Count, PutawayReport, putaway_id
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import dispatches
from autogrocery.kit.errors import Conflict
from tests.proofs.enumeration.deeds import Scenario, nothing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.inventory.core.picking import Assignment, Receipt
    from tests.proofs.enumeration.deeds import Subject
    from tests.proofs.enumeration.inventory_stage import InventoryStage

    Rest = Callable[[InventoryStage, Subject, bool], Awaitable[list[str]]]

LINES = (Line("bread", 1), Line("milk", 2))
OTHERS = (Line("milk", 3),)


async def do_reserve(stage: InventoryStage, one: Subject) -> object:
    held = await reserve_items(stage.db, one.order_id, LINES, 60, allow_partial=False)
    if held.refusal:
        raise Conflict("refused", held.refusal)
    return held


async def do_assign(stage: InventoryStage, one: Subject) -> object:
    found = await assign_robots(stage.db, stage.announcer, one.order_id, LINES, stage.robots)
    if found.refused:
        raise Conflict("refused", found.refused)
    return found


async def do_cancel(stage: InventoryStage, one: Subject) -> object:
    return await release_items(stage.db, one.order_id, cancel=True)


async def do_start(stage: InventoryStage, one: Subject) -> object:
    """Both robots begin."""
    for share in await dispatches.of_order(stage.db, one.order_id):
        lease = await start_pick(stage.db, share.assignment_id, share.robot_id, {share.robot_class}, lease_s=3_600)
        if lease is None:
            raise Conflict("refused", "another has it")
        stage.fences[share.assignment_id] = lease.fence
    return None


async def do_report(stage: InventoryStage, one: Subject) -> object:
    """Both robots say that they have picked all; a repeat is a DUPLICATE, and just as good."""
    return [
        await report_pick(stage.db, picked_whole(stage, share), {share.robot_class}, stage.telling.wake)
        for share in await dispatches.of_order(stage.db, one.order_id)
    ]


def picked_whole(stage: InventoryStage, share: Assignment) -> Report:
    return Report(share.assignment_id, share.robot_id, stage.fences[share.assignment_id], 1, Outcome.PICKED, ())


async def do_tell(stage: InventoryStage, _one: Subject) -> object:
    return await stage.telling._once()


async def do_lapse(stage: InventoryStage, _one: Subject) -> object:
    return await stage.lapsing._once()


async def do_shelve(stage: InventoryStage, one: Subject) -> object:
    """An opening count: goods that stand on their shelves."""
    goods = [Delivered("milk", "Milk", "dairy", 7, 90, None, None)]
    if refused := await restock_items(stage.db, stage.announcer, one.order_id, "farm", goods, shelved=True):
        raise Conflict("refused", refused)
    return None


async def do_restock(stage: InventoryStage, one: Subject) -> object:
    """A truck's delivery to two aisles."""
    goods = [Delivered(sku, sku, aisle, 7, 90, None, None) for sku, aisle in (("bread", "bread"), ("milk", "dairy"))]
    if refused := await restock_items(stage.db, stage.announcer, one.order_id, "farm", goods, shelved=False):
        raise Conflict("refused", refused)
    return None


async def do_begin(stage: InventoryStage, one: Subject) -> object:
    """A robot of each aisle begins."""
    for aisle, putaway in _putaways(one):
        lease = await start_pick(stage.db, putaway, f"{aisle}-1", {aisle}, lease_s=3_600)
        if lease is None:
            raise Conflict("refused", "another has it")
        stage.fences[putaway] = lease.fence
    return None


async def do_put_away(stage: InventoryStage, one: Subject) -> object:
    """The last robot reports half of its line, then all; a repeat is a DUPLICATE, and just as good."""
    aisle, putaway = _putaways(one)[-1]
    return [await _place(stage, aisle, putaway, units) for units in (4, 7)]


async def _place(stage: InventoryStage, aisle: str, putaway: UUID, units: int) -> Receipt:
    counts = (Count({"bread": "bread", "dairy": "milk"}[aisle], units, 0),)
    report = PutawayReport(putaway, f"{aisle}-1", stage.fences[putaway], units, counts, done=units == 7)
    return await report_putaway(stage.db, report, {aisle}, stage.of_restocks.wake)


def _putaways(one: Subject) -> list[tuple[str, UUID]]:
    return [(aisle, putaway_id(one.order_id, aisle)) for aisle in ("bread", "dairy")]


async def do_tell_of_restocks(stage: InventoryStage, _one: Subject) -> object:
    return await stage.of_restocks._once()


async def held_for_others(stage: InventoryStage, one: Subject) -> None:
    """The hold is for other goods than the dispatch will name (K4)."""
    await reserve_items(stage.db, one.order_id, OTHERS, 60, allow_partial=False)


async def lapsed(stage: InventoryStage, one: Subject) -> None:
    await do_reserve(stage, one)
    await stage.time_passes(one)
    await do_lapse(stage, one)


async def overdue(stage: InventoryStage, one: Subject) -> None:
    await do_reserve(stage, one)
    await stage.time_passes(one)


async def assigned(stage: InventoryStage, one: Subject) -> None:
    await do_reserve(stage, one)
    await do_assign(stage, one)


async def started(stage: InventoryStage, one: Subject) -> None:
    await assigned(stage, one)
    await do_start(stage, one)


async def reported(stage: InventoryStage, one: Subject) -> None:
    await started(stage, one)
    await do_report(stage, one)


async def begun(stage: InventoryStage, one: Subject) -> None:
    await do_restock(stage, one)
    await do_begin(stage, one)
    aisle, putaway = _putaways(one)[0]
    await _place(stage, aisle, putaway, 7)


async def put_away(stage: InventoryStage, one: Subject) -> None:
    await begun(stage, one)
    await do_put_away(stage, one)


def _ends(insists: str, *walks_away: str | None) -> Rest:
    """The register has the order in this state, told to the gateway in the same words each time."""

    async def rest(stage: InventoryStage, one: Subject, insisted: bool) -> list[str]:
        row = await stage.db.row("SELECT state FROM inventory.orders WHERE order_id = $1", one.order_id)
        state = row["state"] if row else None
        wrong = [] if state in ((insists,) if insisted else (insists, *walks_away)) else [f"ended {state}"]
        told = {body for _, body in stage.heard.got if msgspec.json.decode(body)["order_id"] == str(one.order_id)}
        if len(told) != (state == "COMPLETED"):
            wrong.append(f"{state}, and the gateway was told {len(told)} different things")
        return wrong

    return rest


async def entered_once(stage: InventoryStage, one: Subject, insisted: bool) -> list[str]:
    row = await stage.db.row("SELECT count(*) AS found FROM inventory.ledger WHERE ref = $1", one.order_id)
    assert row is not None
    return [] if row["found"] == 1 or not (insisted or row["found"]) else [f"{row['found']} entries in the ledger"]


def _received(insists: str, *walks_away: str | None) -> Rest:
    """The delivery is in this state; the ledger has what was received; the gateway's newest word says the same."""

    async def rest(stage: InventoryStage, one: Subject, insisted: bool) -> list[str]:
        row = await stage.db.row(DELIVERY, one.order_id)
        state = row["state"] if row else None
        wrong = [] if state in ((insists,) if insisted else (insists, *walks_away)) else [f"ended {state}"]
        told: dict[str, set[bytes]] = {}
        for headers, body in stage.heard.of_restocks:
            if headers["webhook-id"].startswith(f"msg_{one.order_id.hex}_"):
                told.setdefault(headers["webhook-id"], set()).add(body)
        wrong += [f"{name} was told in {len(bodies)} ways" for name, bodies in told.items() if len(bodies) != 1]
        if row and row["received"]:
            newest = msgspec.json.decode(next(iter(told[max(told)])), type=UpdateRestock)
            if (newest.status, sum(line.received for line in newest.items)) != (state, row["received"]):
                wrong.append(f"{row['received']} received, and the gateway was told {newest}")
        return wrong

    return rest


DELIVERY = """
SELECT state, (SELECT sum(delta) FROM inventory.ledger WHERE restock_id = order_id) AS received
  FROM inventory.restocks WHERE order_id = $1
"""

INVENTORY = (
    Scenario("reserve", do_reserve, nothing, _ends("HELD", None, "LAPSED")),
    Scenario("reserve again", do_reserve, do_reserve, _ends("HELD", "LAPSED")),
    Scenario("reserve what has lapsed", do_reserve, lapsed, _ends("HELD", "LAPSED")),
    Scenario("reserve other goods", do_reserve, held_for_others, _ends("HELD", "LAPSED"), frozenset({"refused"})),
    Scenario("lapse", do_lapse, overdue, _ends("LAPSED")),
    Scenario("assign", do_assign, do_reserve, _ends("ASSIGNED", "LAPSED")),
    Scenario("assign without a hold", do_assign, nothing, _ends("ASSIGNED", None)),
    Scenario("assign over a hold for others", do_assign, held_for_others, _ends("ASSIGNED", "LAPSED")),
    Scenario("assign again", do_assign, assigned, _ends("ASSIGNED")),
    Scenario("release", do_cancel, do_reserve, _ends("RELEASED", "LAPSED")),
    Scenario("release what is assigned", do_cancel, assigned, _ends("RELEASED", "ASSIGNED")),
    Scenario("release what is unknown", do_cancel, nothing, _ends("RELEASED", None)),
    Scenario("start", do_start, assigned, _ends("ASSIGNED")),
    Scenario("release what is started", do_cancel, started, _ends("ASSIGNED")),
    Scenario("report", do_report, started, _ends("COMPLETED", "ASSIGNED")),
    Scenario("tell the gateway", do_tell, reported, _ends("COMPLETED")),
    Scenario("shelve", do_shelve, nothing, entered_once),
    Scenario("restock", do_restock, nothing, _received("RECEIVING", None)),
    Scenario("begin a putaway", do_begin, do_restock, _received("RECEIVING")),
    Scenario("put away", do_put_away, begun, _received("RECEIVED", "RECEIVING")),
    Scenario("tell of a restock", do_tell_of_restocks, put_away, _received("RECEIVED")),
)
