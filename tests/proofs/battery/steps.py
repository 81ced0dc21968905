"""The steps of an order: what a request, the clock or a peer starts, each with its answer put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.preview import keep_quota
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import TERMINAL, Fact, Order
from autogrocery.gateway.store import due, orders
from autogrocery.gateway.store.moves import Delivery
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from tests.harness.order_truth import TAKEN
from tests.proofs.battery.stage import impatient_sweep
from tests.proofs.battery.states import ITEMS, KEY, PICKED_SHORT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
    from tests.harness.gateway_actions import House


async def confirm(house: House, order_id: UUID) -> str:
    return _settled(*await house.confirm(order_id))


async def confirm_refused(house: House, order_id: UUID) -> str:
    """Inventory has no robots; one that has assigned them before says so only when it is asked to release."""
    _refuse(house)
    return await confirm(house, order_id)


def _refuse(house: House) -> None:
    trouble = house.shelf.bend.get("AssignRobots")

    def no(reply: inv.RobotResponse) -> inv.RobotResponse:
        reply.success = False
        return trouble(reply) if trouble else reply

    house.shelf.refuse_robots, house.shelf.bend["AssignRobots"] = True, no


async def cancel(house: House, order_id: UUID) -> str:
    return _settled(*await house.cancel(order_id))


def _settled(order: Order, settled: bool) -> str:
    return f"200 {order.status}" if settled else f"202 {order.dispatch}"


async def preview(house: House, order_id: UUID) -> str:
    """The preview that named the order, asked again with the same key."""
    made = await house.preview(key=KEY, **ITEMS)
    assert made.order_id == order_id
    return f"201 {made.status}"


async def preview_another(house: House, order_id: UUID) -> str:
    """Another basket under the same key."""
    made = await house.preview(key=KEY, **ITEMS | {"apple": 1})
    assert made.order_id == order_id
    return f"201 {made.status}"


async def quota(house: House, _order_id: UUID) -> str:
    await keep_quota(house.db, house.inventory, house.metrics, house.user_id, max_live=0)
    return "kept"


async def expiry(house: House, order_id: UUID) -> str:
    return _row(await expire(house.db, house.inventory, house.metrics, order_id))


async def sweeping(house: House, order_id: UUID) -> str:
    found = due.Due(order_id, owed_s=1.0)
    return _row(await sweep(house.db, house.inventory, house.metrics, found, patience_s=600.0))


async def sweeping_refused(house: House, order_id: UUID) -> str:
    _refuse(house)
    return await sweeping(house, order_id)


async def sweeping_impatient(house: House, order_id: UUID) -> str:
    return _row(await impatient_sweep(house, order_id))


def _row(order: Order | None) -> str:
    return order.status.value if order else "nothing owed"


async def reconciling(house: House, order_id: UUID) -> str:
    await reconcile(house.db, house.inventory, house.metrics, order_id)
    return "done"


async def webhook_full(house: House, order_id: UUID) -> str:
    return await _webhook(house, order_id, Fact.PICKED, None)


async def webhook_short(house: House, order_id: UUID) -> str:
    return await _webhook(house, order_id, Fact.PICKED, PICKED_SHORT)


async def webhook_failed(house: House, order_id: UUID) -> str:
    return await _webhook(house, order_id, Fact.NOTHING_PICKED, {})


async def _webhook(house: House, order_id: UUID, fact: Fact, picked: dict[str, int] | None) -> str:
    """Inventory tells what is true of an order that robots have; for any other, it is a false word."""
    known = await orders.get(house.db, order_id)
    if known and known.status not in TERMINAL and house.shelf.state.get(str(order_id)) in TAKEN:
        house.shelf.finish(str(order_id), picked)
    delivery = Delivery("msg-1", bytes(32))
    applied, status = await house.complete(order_id, fact, picked or None, delivery)
    return f"{'applied' if applied else 'known'} {status}"


class Step(Struct, frozen=True):
    """A step, and the modules of gateway/actions that it is made of."""

    run: Callable[[House, UUID], Awaitable[str]]
    modules: str


STEPS: Final = {
    "preview": Step(preview, "preview"),
    "preview_another": Step(preview_another, "preview"),
    "quota": Step(quota, "preview expire release"),
    "confirm": Step(confirm, "confirm dispatch"),
    "confirm_refused": Step(confirm_refused, "confirm dispatch release"),
    "cancel": Step(cancel, "cancel release"),
    "expiry": Step(expiry, "expire release"),
    "sweeping": Step(sweeping, "sweep dispatch release"),
    "sweeping_refused": Step(sweeping_refused, "sweep dispatch release"),
    "sweeping_impatient": Step(sweeping_impatient, "sweep dispatch release"),
    "reconciling": Step(reconciling, "reconcile complete release"),
    "webhook_full": Step(webhook_full, "complete"),
    "webhook_short": Step(webhook_short, "complete"),
    "webhook_failed": Step(webhook_failed, "complete"),
}


async def said(step: str, house: House, order_id: UUID) -> str:
    """Run a step; its answer in words, `404 order_not_found` and `in doubt` among them."""
    try:
        return await STEPS[step].run(house, order_id)
    except Refused as refusal:
        return f"{refusal.status} {refusal.code}"
    except Unavailable as trouble:
        return f"503 {trouble.code}"
    except InDoubt:
        return "in doubt"
