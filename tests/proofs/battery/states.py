"""Every state in which a step may find an order, each reached by running the actions themselves.

A name is the row's state, then inventory's state where the gateway does not know it yet: `assigned` (dispatched),
`started` (a robot has begun), `finished` (picking has ended, the webhook is under way).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.core.order import Fact, Order
from autogrocery.gateway.core.quote import order_id_of
from tests.proofs.battery.environment import clear_faults, failing_call, outcome_of, sweep_past_patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from tests.harness.gateway_actions import GatewayActions

KEY: Final = "k"
ITEMS: Final = {"milk": 2, "bread": 1}
PICKED_SHORT: Final = {"milk": 1, "bread": 0}
DOWN: Final = grpc.StatusCode.UNAVAILABLE


async def nothing(gateway: GatewayActions) -> UUID:
    return order_id_of(gateway.user_id, KEY)


async def idle(gateway: GatewayActions) -> UUID:
    return (await gateway.preview(key=KEY, **ITEMS)).order_id


async def overdue(gateway: GatewayActions) -> UUID:
    return (await gateway.preview(key=KEY, ttl_s=0, **ITEMS)).order_id


async def idle_assigned(gateway: GatewayActions) -> UUID:
    """A confirm ended between inventory's reply and its own commit."""
    return await _assign(gateway, await idle(gateway))


async def idle_finished(gateway: GatewayActions) -> UUID:
    order_id = await idle_assigned(gateway)
    gateway.fake_inventory.finish(str(order_id))
    return order_id


async def overdue_assigned(gateway: GatewayActions) -> UUID:
    return await _assign(gateway, await overdue(gateway))


async def _assign(gateway: GatewayActions, order_id: UUID) -> UUID:
    assert await gateway.inventory.assign_robots(order_id, (await gateway.order(order_id)).lines)
    return order_id


async def in_doubt(gateway: GatewayActions) -> UUID:
    order_id = await idle(gateway)
    with failing_call(gateway.fake_inventory, "AssignRobots", DOWN):
        await gateway.confirm(order_id)
    return order_id


async def in_doubt_overdue(gateway: GatewayActions) -> UUID:
    order_id = await in_doubt(gateway)
    await gateway.db.run("UPDATE grocery_orders SET expires_at = now() WHERE order_id = $1", order_id)
    return order_id


async def in_doubt_assigned(gateway: GatewayActions) -> UUID:
    order_id = await idle(gateway)
    with failing_call(gateway.fake_inventory, "AssignRobots", DOWN, after_effect=True):
        await gateway.confirm(order_id)
    return order_id


async def in_doubt_started(gateway: GatewayActions) -> UUID:
    return _start(gateway, await in_doubt_assigned(gateway))


def _start(gateway: GatewayActions, order_id: UUID) -> UUID:
    gateway.fake_inventory.started.add(str(order_id))
    return order_id


async def _cancel_in_doubt(gateway: GatewayActions, order_id: UUID, *, after_effect: bool = False) -> UUID:
    with failing_call(gateway.fake_inventory, "ReleaseItems", DOWN, after_effect=after_effect):
        await gateway.cancel(order_id)
    return order_id


async def releasing_cancelled(gateway: GatewayActions) -> UUID:
    return await _cancel_in_doubt(gateway, await idle(gateway))


async def releasing_cancelled_released(gateway: GatewayActions) -> UUID:
    return await _cancel_in_doubt(gateway, await idle(gateway), after_effect=True)


async def releasing_cancelled_started(gateway: GatewayActions) -> UUID:
    return await _cancel_in_doubt(gateway, await in_doubt_started(gateway))


async def _expire_in_doubt(gateway: GatewayActions, order_id: UUID) -> UUID:
    with failing_call(gateway.fake_inventory, "ReleaseItems", DOWN):
        await outcome_of(expire(gateway.store, gateway.inventory, gateway.metrics, order_id))
    return order_id


async def releasing_expired(gateway: GatewayActions) -> UUID:
    return await _expire_in_doubt(gateway, await overdue(gateway))


async def releasing_expired_assigned(gateway: GatewayActions) -> UUID:
    return await _expire_in_doubt(gateway, await overdue_assigned(gateway))


async def releasing_failed(gateway: GatewayActions) -> UUID:
    order_id = await idle(gateway)
    gateway.fake_inventory.refuse_robots = True
    with failing_call(gateway.fake_inventory, "ReleaseItems", DOWN):
        await gateway.confirm(order_id)
    clear_faults(gateway)
    return order_id


async def releasing_failed_assigned(gateway: GatewayActions) -> UUID:
    """The sweeper gave up a dispatch whose request had reached inventory."""
    order_id = await in_doubt_assigned(gateway)
    with failing_call(gateway.fake_inventory, "ReleaseItems", DOWN):
        await outcome_of(sweep_past_patience(gateway, order_id))
    return order_id


async def processing(gateway: GatewayActions) -> UUID:
    order_id = await idle(gateway)
    await gateway.confirm(order_id)
    return order_id


async def processing_started(gateway: GatewayActions) -> UUID:
    return _start(gateway, await processing(gateway))


async def processing_finished(gateway: GatewayActions) -> UUID:
    order_id = await processing(gateway)
    gateway.fake_inventory.finish(str(order_id), PICKED_SHORT)
    return order_id


async def processing_in_vain(gateway: GatewayActions) -> UUID:
    order_id = await processing(gateway)
    gateway.fake_inventory.finish(str(order_id), {})
    return order_id


async def processing_kept(gateway: GatewayActions) -> UUID:
    """A cancel came too late; the row keeps its cause."""
    order_id = await processing_started(gateway)
    await outcome_of(gateway.cancel(order_id))
    return order_id


async def processing_withdrawn(gateway: GatewayActions) -> UUID:
    """Inventory was restored from an older backup and has lost that a robot had begun."""
    order_id = await processing_kept(gateway)
    gateway.fake_inventory.started.discard(str(order_id))
    await gateway.inventory.release(order_id, (await gateway.order(order_id)).release_as, None)  # type: ignore[arg-type]
    assert gateway.fake_inventory.state[str(order_id)] == inv.GetOrderResponse.RELEASED
    return order_id


async def processing_releasing(gateway: GatewayActions) -> UUID:
    return await _cancel_in_doubt(gateway, await processing(gateway))


async def processing_releasing_started(gateway: GatewayActions) -> UUID:
    return await _cancel_in_doubt(gateway, await processing_started(gateway))


async def completed(gateway: GatewayActions) -> UUID:
    order_id = await processing(gateway)
    gateway.fake_inventory.finish(str(order_id))
    await gateway.complete(order_id)
    return order_id


async def completed_short(gateway: GatewayActions) -> UUID:
    order_id = await processing_finished(gateway)
    await gateway.complete(order_id, picked=PICKED_SHORT)
    return order_id


async def failed_dispatched(gateway: GatewayActions) -> UUID:
    order_id = await processing_in_vain(gateway)
    await gateway.complete(order_id, Fact.NOTHING_PICKED)
    return order_id


async def failed(gateway: GatewayActions) -> UUID:
    order_id = await idle(gateway)
    gateway.fake_inventory.refuse_robots = True
    await outcome_of(gateway.confirm(order_id))
    clear_faults(gateway)
    return order_id


async def cancelled(gateway: GatewayActions) -> UUID:
    order_id = await idle(gateway)
    await gateway.cancel(order_id)
    return order_id


async def cancelled_dispatched(gateway: GatewayActions) -> UUID:
    order_id = await processing(gateway)
    await gateway.cancel(order_id)
    return order_id


async def expired(gateway: GatewayActions) -> UUID:
    order_id = await overdue(gateway)
    await expire(gateway.store, gateway.inventory, gateway.metrics, order_id)
    return order_id


STATES: Final[dict[str, Callable[[GatewayActions], Awaitable[UUID]]]] = {
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


def row_state(order: Order | None) -> str:
    """Return the row's status, what it owes, and its outcome: `PREVIEWED releasing CANCELLED`."""
    if order is None:
        return "nothing"
    owes = f" releasing {order.release_as}" if order.releasing else " in_doubt" if order.intent else ""
    return f"{order.status}{owes}" + (f" {order.outcome}" if order.outcome else "")


ROW_STATES: Final = {
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


def expected_row_state(state: str) -> str:
    """Return the `row_state` of a state: that of the longest name in ROW_STATES that it begins with."""
    return ROW_STATES[max((name for name in ROW_STATES if state.startswith(name)), key=len)]
