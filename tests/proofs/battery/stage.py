"""The battery's stage: one database and one pair of peers for a module, and for each cell a device and calm weather."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.send_receipt import send_receipt
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.mail import Mail
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import due, orders
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process.clock import uuid7
from tests.harness.fake_peers import PRICES
from tests.harness.gateway_actions import add_device
from tests.harness.order_truth import end_of, quarrels, strayed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    import grpc

    from autogrocery.gateway.core.order import Order
    from autogrocery.kit.pg.db import Row
    from tests.harness.fake_peers import FakeInventory
    from tests.harness.gateway_actions import House

FULL_SHELF = 1_000_000
NO_MAIL = Mail("", Path("/nonexistent"))  # the cells' devices have no address


async def fresh(house: House) -> House:
    """The same house with a device and breakers of its own, and well peers: what one cell is played in."""
    calm(house)
    user_id = await add_device(house.db, f"fridge-{uuid7().hex}")
    return replace(house, inventory=Inventory(house.channel), pricing=Pricing(house.channel), user_id=user_id)


def calm(house: House) -> None:
    """Every peer is well."""
    shelf, prices = house.shelf, house.prices
    shelf.trouble, shelf.after_effect, shelf.refuse_robots, shelf.gate = {}, False, False, None
    shelf.silent, shelf.bend, shelf.refuse_restocks = set(), {}, ""
    prices.trouble, prices.silent, prices.bend = None, False, lambda reply: reply
    prices.after_effect, prices.costs = False, {}


@contextmanager
def clumsy(shelf: FakeInventory, method: str, status: grpc.StatusCode, *, after_effect: bool = False) -> Iterator[None]:
    """One method gives a status instead of an answer while the context lasts."""
    shelf.trouble, shelf.after_effect = {method: status}, after_effect
    yield
    shelf.trouble, shelf.after_effect = {}, False


async def attempt(verb: Awaitable[object]) -> object:
    """What a verb returns, or which of the three ways it failed in."""
    try:
        return await verb
    except (Refused, Unavailable, InDoubt) as answer:
        return answer


async def impatient_sweep(house: House, order_id: UUID) -> Order | None:
    """The sweeper's turn at an order that has been in doubt for longer than anybody waits."""
    return await sweep(house.db, house.inventory, house.metrics, due.Due(order_id, owed_s=601.0), patience_s=600.0)


class Trace(Struct, frozen=True):
    """All that a step may have changed: what must be the same after it is run again."""

    order: Order | None
    events: list[tuple[int, str]]
    dispatches: int
    stock: dict[str, int]
    told: list[tuple[int, str]]
    receipts: int


async def trace(house: House, order_id: UUID) -> Trace:
    order = await orders.get(house.db, order_id)
    row = await house.db.row("SELECT count(*) AS receipts FROM receipt_outbox WHERE order_id = $1", order_id)
    assert row is not None
    return Trace(
        replace(order, overdue=False) if order else None,
        [(event.version, event.to_status.value) for event in await orders.list_events(house.db, order_id)],
        house.shelf.dispatches[str(order_id)],
        dict(house.shelf.stock),
        sorted((metric.version, metric.status) for metric in house.sent if metric.order_id == str(order_id)),
        row["receipts"],
    )


async def settle(house: House, order_id: UUID) -> None:
    """Let the trouble go, time pass and the loops run until all is done: the order must come to its one end, and quarrel with nobody."""
    calm(house)
    await house.db.run(
        "UPDATE grocery_orders SET expires_at = now() WHERE order_id = $1 AND status = 'PREVIEWED'", order_id
    )
    order = await orders.get(house.db, order_id)
    if order is None:
        return
    end = end_of(order, house.shelf)
    for _ in range(4):
        if not await _turn(house, order_id):
            break
    await relay_receipts(house)
    order = await house.order(order_id)
    assert (order.status, quarrels(order, house.shelf)) == (end, [])
    events = [(event.version, event.to_status.value) for event in await orders.list_events(house.db, order_id)]
    told = sorted((metric.version, metric.status) for metric in house.sent if metric.order_id == str(order_id))
    assert (told, len(events)) == (events, order.version)
    assert strayed(house.shelf, dict.fromkeys(PRICES, FULL_SHELF)) == {}


async def relay_receipts(house: House) -> None:
    async def deliver(row: Row) -> None:
        await send_receipt(house.db, NO_MAIL, row["order_id"], "mart-test")

    await Outbox(house.db, "receipt_outbox", ("order_id",), deliver).relay()


async def _turn(house: House, order_id: UUID) -> bool:
    """One turn of the loops with this order due; whether they changed it."""
    await house.db.run("UPDATE grocery_orders SET due_at = now() WHERE order_id = $1 AND finished_at IS NULL", order_id)
    before = await house.order(order_id)
    await turn(house)
    return await house.order(order_id) != before


async def turn(house: House) -> None:
    """One turn of each loop, with all that is due."""
    ports = house.db, house.inventory, house.metrics
    for item in await due.claim_owed(house.db):
        await sweep(*ports, item, patience_s=600.0)
    for item in await due.claim_expired(house.db):
        await expire(*ports, item.order_id)
    for item in await due.claim_silent(house.db, 60.0):
        await reconcile(*ports, item.order_id)


async def violations(house: House) -> list[tuple[str, int]]:
    """What the audit finds in the whole database, with the device whose order it is."""
    found = []
    for one in (await audit(house.db)).invariants:
        for example in one.examples:
            order = await orders.get(house.db, UUID(json.loads(example)["order_id"]))
            found.append((one.name, order.user_id if order else 0))
    return found
