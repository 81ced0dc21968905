"""Scenarios of the reference inventory for fault injection at every point: it must keep
docs/PROTOCOL.md#what-a-peer-promises."""

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
from autogrocery.inventory.core.picking import Outcome, Report
from autogrocery.inventory.core.putaway import PutawayReport, ReceivedCount, putaway_id
from autogrocery.inventory.core.restock import RestockLine
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import dispatches
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit.errors import Conflict
from tests.proofs.enumeration.scenario import Scenario, no_preparation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.inventory.core.picking import Acknowledgement, Assignment
    from tests.proofs.enumeration.inventory_environment import InventoryEnvironment
    from tests.proofs.enumeration.scenario import Subject

    Rest = Callable[[InventoryEnvironment, Subject, bool], Awaitable[list[str]]]

LINES = (Line("bread", 1), Line("milk", 2))
OTHERS = (Line("milk", 3),)


async def do_reserve(env: InventoryEnvironment, subject: Subject) -> object:
    held = await reserve_items(env.db, subject.order_id, LINES, 60, allow_partial=False)
    if held.refusal:
        raise Conflict("refused", held.refusal)
    return held


async def do_assign(env: InventoryEnvironment, subject: Subject) -> object:
    found = await assign_robots(env.db, env.announcer, subject.order_id, LINES, env.robots)
    if found.refused:
        raise Conflict("refused", found.refused)
    return found


async def do_cancel(env: InventoryEnvironment, subject: Subject) -> object:
    return await release_items(env.db, subject.order_id, cancel=True)


async def do_start(env: InventoryEnvironment, subject: Subject) -> object:
    """Start both assignments."""
    for share in await dispatches.list_of_order(env.db, subject.order_id):
        lease = await start_pick(env.db, share.assignment_id, share.robot_id, {share.robot_class}, lease_s=3_600)
        if lease is None:
            raise Conflict("refused", "another has it")
        env.fences[share.assignment_id] = lease.fence
    return None


async def do_report(env: InventoryEnvironment, subject: Subject) -> object:
    """Report both assignments as picked in full; a repeated report is answered DUPLICATE, which is as good."""
    return [
        await report_pick(env.db, picked_whole(env, share), {share.robot_class}, env.webhook_loop.wake)
        for share in await dispatches.list_of_order(env.db, subject.order_id)
    ]


def picked_whole(env: InventoryEnvironment, share: Assignment) -> Report:
    return Report(share.assignment_id, share.robot_id, env.fences[share.assignment_id], 1, Outcome.PICKED, ())


async def send_order_webhooks(env: InventoryEnvironment, _subject: Subject) -> object:
    return await env.webhook_loop._once()


async def do_lapse(env: InventoryEnvironment, _subject: Subject) -> object:
    return await env.lapse_loop._once()


async def do_shelve(env: InventoryEnvironment, subject: Subject) -> object:
    """Restock an opening count: goods that are on their shelves already."""
    goods = [RestockLine("milk", "Milk", "dairy", 7, 90, None, None)]
    if refused := await restock_items(
        env.db, PollCache(), env.announcer, subject.order_id, "farm", goods, shelved=True
    ):
        raise Conflict("refused", refused)
    return None


async def do_restock(env: InventoryEnvironment, subject: Subject) -> object:
    """Restock a truck's delivery for two aisles."""
    goods = [RestockLine(sku, sku, aisle, 7, 90, None, None) for sku, aisle in (("bread", "bread"), ("milk", "dairy"))]
    if refused := await restock_items(
        env.db, PollCache(), env.announcer, subject.order_id, "farm", goods, shelved=False
    ):
        raise Conflict("refused", refused)
    return None


async def start_putaways(env: InventoryEnvironment, subject: Subject) -> object:
    """Start the putaways of both aisles."""
    for aisle, putaway in _putaways(subject):
        lease = await start_pick(env.db, putaway, f"{aisle}-1", {aisle}, lease_s=3_600)
        if lease is None:
            raise Conflict("refused", "another has it")
        env.fences[putaway] = lease.fence
    return None


async def do_put_away(env: InventoryEnvironment, subject: Subject) -> object:
    """Report half of the last putaway, then all of it; a repeated report is answered DUPLICATE, which is as good."""
    aisle, putaway = _putaways(subject)[-1]
    return [await _place(env, aisle, putaway, units) for units in (4, 7)]


async def _place(env: InventoryEnvironment, aisle: str, putaway: UUID, units: int) -> Acknowledgement:
    counts = (ReceivedCount({"bread": "bread", "dairy": "milk"}[aisle], units, 0),)
    report = PutawayReport(putaway, f"{aisle}-1", env.fences[putaway], units, counts, done=units == 7)
    return await report_putaway(env.db, report, {aisle}, env.restock_webhook_loop.wake)


def _putaways(subject: Subject) -> list[tuple[str, UUID]]:
    return [(aisle, putaway_id(subject.order_id, aisle)) for aisle in ("bread", "dairy")]


async def send_restock_webhooks(env: InventoryEnvironment, _subject: Subject) -> object:
    return await env.restock_webhook_loop._once()


async def held_with_other_items(env: InventoryEnvironment, subject: Subject) -> None:
    """Hold other items than the dispatch will name (K4)."""
    await reserve_items(env.db, subject.order_id, OTHERS, 60, allow_partial=False)


async def lapsed(env: InventoryEnvironment, subject: Subject) -> None:
    await do_reserve(env, subject)
    await env.expire_quote(subject)
    await do_lapse(env, subject)


async def overdue(env: InventoryEnvironment, subject: Subject) -> None:
    await do_reserve(env, subject)
    await env.expire_quote(subject)


async def assigned(env: InventoryEnvironment, subject: Subject) -> None:
    await do_reserve(env, subject)
    await do_assign(env, subject)


async def started(env: InventoryEnvironment, subject: Subject) -> None:
    await assigned(env, subject)
    await do_start(env, subject)


async def reported(env: InventoryEnvironment, subject: Subject) -> None:
    await started(env, subject)
    await do_report(env, subject)


async def putaway_started(env: InventoryEnvironment, subject: Subject) -> None:
    await do_restock(env, subject)
    await start_putaways(env, subject)
    aisle, putaway = _putaways(subject)[0]
    await _place(env, aisle, putaway, 7)


async def put_away(env: InventoryEnvironment, subject: Subject) -> None:
    await putaway_started(env, subject)
    await do_put_away(env, subject)


def _ends(retries: str, *gives_up: str | None) -> Rest:
    """Require this state of the order, and one distinct webhook body if it is COMPLETED."""

    async def check(env: InventoryEnvironment, subject: Subject, retried: bool) -> list[str]:
        row = await env.db.row("SELECT state FROM inventory.orders WHERE order_id = $1", subject.order_id)
        state = row["state"] if row else None
        failures = [] if state in ((retries,) if retried else (retries, *gives_up)) else [f"ended {state}"]
        seen = {
            body
            for _, body in env.listener.order_webhooks
            if msgspec.json.decode(body)["order_id"] == str(subject.order_id)
        }
        if len(seen) != (state == "COMPLETED"):
            failures.append(f"{state}, and its webhooks have {len(seen)} different bodies")
        return failures

    return check


async def is_in_ledger_once(env: InventoryEnvironment, subject: Subject, retried: bool) -> list[str]:
    row = await env.db.row("SELECT count(*) AS found FROM inventory.ledger WHERE ref = $1", subject.order_id)
    assert row is not None
    return [] if row["found"] == 1 or not (retried or row["found"]) else [f"{row['found']} entries in the ledger"]


def _received(retries: str, *gives_up: str | None) -> Rest:
    """Require this state of the delivery; the newest webhook must report it and what the ledger has received."""

    async def check(env: InventoryEnvironment, subject: Subject, retried: bool) -> list[str]:
        row = await env.db.row(DELIVERY, subject.order_id)
        state = row["state"] if row else None
        failures = [] if state in ((retries,) if retried else (retries, *gives_up)) else [f"ended {state}"]
        seen: dict[str, set[bytes]] = {}
        for headers, body in env.listener.restock_webhooks:
            if headers["webhook-id"].startswith(f"msg_{subject.order_id.hex}_"):
                seen.setdefault(headers["webhook-id"], set()).add(body)
        failures += [f"{name} was sent with {len(bodies)} bodies" for name, bodies in seen.items() if len(bodies) != 1]
        if row and row["received"]:
            newest = msgspec.json.decode(next(iter(seen[max(seen)])), type=UpdateRestock)
            if (newest.status, sum(line.received for line in newest.items)) != (state, row["received"]):
                failures.append(f"{row['received']} received, and the newest webhook is {newest}")
        return failures

    return check


DELIVERY = """
SELECT state, (SELECT sum(delta) FROM inventory.ledger WHERE restock_id = order_id) AS received
  FROM inventory.restocks WHERE order_id = $1
"""

INVENTORY = (
    Scenario("reserve", do_reserve, no_preparation, _ends("HELD", None, "LAPSED")),
    Scenario("reserve again", do_reserve, do_reserve, _ends("HELD", "LAPSED")),
    Scenario("reserve what has lapsed", do_reserve, lapsed, _ends("HELD", "LAPSED")),
    Scenario("reserve other goods", do_reserve, held_with_other_items, _ends("HELD", "LAPSED"), frozenset({"refused"})),
    Scenario("lapse", do_lapse, overdue, _ends("LAPSED")),
    Scenario("assign", do_assign, do_reserve, _ends("ASSIGNED", "LAPSED")),
    Scenario("assign without a hold", do_assign, no_preparation, _ends("ASSIGNED", None)),
    Scenario("assign over a hold for others", do_assign, held_with_other_items, _ends("ASSIGNED", "LAPSED")),
    Scenario("assign again", do_assign, assigned, _ends("ASSIGNED")),
    Scenario("release", do_cancel, do_reserve, _ends("RELEASED", "LAPSED")),
    Scenario("release what is assigned", do_cancel, assigned, _ends("RELEASED", "ASSIGNED")),
    Scenario("release what is unknown", do_cancel, no_preparation, _ends("RELEASED", None)),
    Scenario("start", do_start, assigned, _ends("ASSIGNED")),
    Scenario("release what is started", do_cancel, started, _ends("ASSIGNED")),
    Scenario("report", do_report, started, _ends("COMPLETED", "ASSIGNED")),
    Scenario("tell the gateway", send_order_webhooks, reported, _ends("COMPLETED")),
    Scenario("shelve", do_shelve, no_preparation, is_in_ledger_once),
    Scenario("restock", do_restock, no_preparation, _received("RECEIVING", None)),
    Scenario("begin a putaway", start_putaways, do_restock, _received("RECEIVING")),
    Scenario("put away", do_put_away, putaway_started, _received("RECEIVED", "RECEIVING")),
    Scenario("tell of a restock", send_restock_webhooks, put_away, _received("RECEIVED")),
)
