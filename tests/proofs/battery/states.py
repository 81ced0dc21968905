"""Every state in which a step may find an order, each made by the actions themselves, as life makes it.

A name says what the row is, then what inventory has of it where that is not plain: `assigned` (robots have it), `started`
(and have begun), `finished` (and have ended, the webhook being on its way).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.core.order import Fact, Order
from autogrocery.gateway.core.quote import order_id_of
from tests.proofs.battery.stage import attempt, calm, clumsy, impatient_sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.harness.gateway_actions import House

KEY: Final = "k"
ITEMS: Final = {"milk": 2, "bread": 1}
PICKED_SHORT: Final = {"milk": 1, "bread": 0}
DOWN: Final = grpc.StatusCode.UNAVAILABLE


async def nothing(house: House) -> UUID:
    return order_id_of(house.user_id, KEY)


async def idle(house: House) -> UUID:
    return (await house.preview(key=KEY, **ITEMS)).order_id


async def overdue(house: House) -> UUID:
    return (await house.preview(key=KEY, ttl_s=0, **ITEMS)).order_id


async def idle_assigned(house: House) -> UUID:
    """A confirm died between inventory's yes and its own commit."""
    return await _assign(house, await idle(house))


async def idle_finished(house: House) -> UUID:
    order_id = await idle_assigned(house)
    house.shelf.finish(str(order_id))
    return order_id


async def overdue_assigned(house: House) -> UUID:
    return await _assign(house, await overdue(house))


async def _assign(house: House, order_id: UUID) -> UUID:
    assert await house.inventory.assign_robots(order_id, (await house.order(order_id)).lines)
    return order_id


async def in_doubt(house: House) -> UUID:
    order_id = await idle(house)
    with clumsy(house.shelf, "AssignRobots", DOWN):
        await house.confirm(order_id)
    return order_id


async def in_doubt_overdue(house: House) -> UUID:
    order_id = await in_doubt(house)
    await house.db.run("UPDATE grocery_orders SET expires_at = now() WHERE order_id = $1", order_id)
    return order_id


async def in_doubt_assigned(house: House) -> UUID:
    order_id = await idle(house)
    with clumsy(house.shelf, "AssignRobots", DOWN, after_effect=True):
        await house.confirm(order_id)
    return order_id


async def in_doubt_started(house: House) -> UUID:
    return _start(house, await in_doubt_assigned(house))


def _start(house: House, order_id: UUID) -> UUID:
    house.shelf.started.add(str(order_id))
    return order_id


async def _cancel_in_doubt(house: House, order_id: UUID, *, after_effect: bool = False) -> UUID:
    with clumsy(house.shelf, "ReleaseItems", DOWN, after_effect=after_effect):
        await house.cancel(order_id)
    return order_id


async def releasing_cancelled(house: House) -> UUID:
    return await _cancel_in_doubt(house, await idle(house))


async def releasing_cancelled_released(house: House) -> UUID:
    return await _cancel_in_doubt(house, await idle(house), after_effect=True)


async def releasing_cancelled_started(house: House) -> UUID:
    return await _cancel_in_doubt(house, await in_doubt_started(house))


async def _expire_in_doubt(house: House, order_id: UUID) -> UUID:
    with clumsy(house.shelf, "ReleaseItems", DOWN):
        await attempt(expire(house.db, house.inventory, house.metrics, order_id))
    return order_id


async def releasing_expired(house: House) -> UUID:
    return await _expire_in_doubt(house, await overdue(house))


async def releasing_expired_assigned(house: House) -> UUID:
    return await _expire_in_doubt(house, await overdue_assigned(house))


async def releasing_failed(house: House) -> UUID:
    order_id = await idle(house)
    house.shelf.refuse_robots = True
    with clumsy(house.shelf, "ReleaseItems", DOWN):
        await house.confirm(order_id)
    calm(house)
    return order_id


async def releasing_failed_assigned(house: House) -> UUID:
    """Patience was over for a dispatch that had got through."""
    order_id = await in_doubt_assigned(house)
    with clumsy(house.shelf, "ReleaseItems", DOWN):
        await attempt(impatient_sweep(house, order_id))
    return order_id


async def processing(house: House) -> UUID:
    order_id = await idle(house)
    await house.confirm(order_id)
    return order_id


async def processing_started(house: House) -> UUID:
    return _start(house, await processing(house))


async def processing_finished(house: House) -> UUID:
    order_id = await processing(house)
    house.shelf.finish(str(order_id), PICKED_SHORT)
    return order_id


async def processing_in_vain(house: House) -> UUID:
    order_id = await processing(house)
    house.shelf.finish(str(order_id), {})
    return order_id


async def processing_kept(house: House) -> UUID:
    """A cancel came too late; the row remembers it."""
    order_id = await processing_started(house)
    await attempt(house.cancel(order_id))
    return order_id


async def processing_withdrawn(house: House) -> UUID:
    """An inventory restored from an older copy of itself: it has forgotten that robots had begun."""
    order_id = await processing_kept(house)
    house.shelf.started.discard(str(order_id))
    await house.inventory.release(order_id, (await house.order(order_id)).release_as, None)  # type: ignore[arg-type]
    assert house.shelf.state[str(order_id)] == inv.GetOrderResponse.RELEASED
    return order_id


async def processing_releasing(house: House) -> UUID:
    return await _cancel_in_doubt(house, await processing(house))


async def processing_releasing_started(house: House) -> UUID:
    return await _cancel_in_doubt(house, await processing_started(house))


async def completed(house: House) -> UUID:
    order_id = await processing(house)
    house.shelf.finish(str(order_id))
    await house.complete(order_id)
    return order_id


async def completed_short(house: House) -> UUID:
    order_id = await processing_finished(house)
    await house.complete(order_id, picked=PICKED_SHORT)
    return order_id


async def failed_dispatched(house: House) -> UUID:
    order_id = await processing_in_vain(house)
    await house.complete(order_id, Fact.NOTHING_PICKED)
    return order_id


async def failed(house: House) -> UUID:
    order_id = await idle(house)
    house.shelf.refuse_robots = True
    await attempt(house.confirm(order_id))
    calm(house)
    return order_id


async def cancelled(house: House) -> UUID:
    order_id = await idle(house)
    await house.cancel(order_id)
    return order_id


async def cancelled_dispatched(house: House) -> UUID:
    order_id = await processing(house)
    await house.cancel(order_id)
    return order_id


async def expired(house: House) -> UUID:
    order_id = await overdue(house)
    await expire(house.db, house.inventory, house.metrics, order_id)
    return order_id


MAKERS: Final[dict[str, Callable[[House], Awaitable[UUID]]]] = {
    make.__name__: make
    for make in (
        nothing,
        idle,
        idle_assigned,
        idle_finished,
        overdue,
        overdue_assigned,
        in_doubt,
        in_doubt_overdue,
        in_doubt_assigned,
        in_doubt_started,
        releasing_cancelled,
        releasing_cancelled_released,
        releasing_cancelled_started,
        releasing_expired,
        releasing_expired_assigned,
        releasing_failed,
        releasing_failed_assigned,
        processing,
        processing_started,
        processing_finished,
        processing_in_vain,
        processing_kept,
        processing_withdrawn,
        processing_releasing,
        processing_releasing_started,
        completed,
        completed_short,
        failed_dispatched,
        failed,
        cancelled,
        cancelled_dispatched,
        expired,
    )
}


def word(order: Order | None) -> str:
    """What a row is, in words: the status, and what it owes."""
    if order is None:
        return "nothing"
    owes = f" releasing {order.release_as}" if order.releasing else " in_doubt" if order.intent else ""
    return f"{order.status}{owes}" + (f" {order.outcome}" if order.outcome else "")


WORDS: Final = {
    "nothing": "nothing",
    "idle": "PREVIEWED",
    "overdue": "PREVIEWED",
    "in_doubt": "PREVIEWED in_doubt",
    "releasing_cancelled": "PREVIEWED releasing CANCELLED",
    "releasing_expired": "PREVIEWED releasing EXPIRED",
    "releasing_failed": "PREVIEWED releasing FAILED",
    "processing_releasing": "PROCESSING releasing CANCELLED",
    "processing": "PROCESSING",
    "completed_short": "COMPLETED PARTIAL",
    "completed": "COMPLETED FULL",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "expired": "EXPIRED",
}


def word_of_state(state: str) -> str:
    """The row of a state, by the longest name that it begins with."""
    return WORDS[max((name for name in WORDS if state.startswith(name)), key=len)]
