"""View one order whole: what the gateway stored, what its peers were asked, what inventory says, and what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from autogrocery.contracts.ops.orders import (
    BundleChange,
    BundleLine,
    BundleRobot,
    InboxDelivery,
    InventoryView,
    OrderBundle,
    OutboxDelivery,
    PeerCall,
)
from autogrocery.gateway.actions.ops.store_peer_calls import stored_call
from autogrocery.gateway.core.diagnosis import OrderFacts, diagnose_order
from autogrocery.gateway.store import orders
from autogrocery.gateway.store.ops import orders as ops_orders
from autogrocery.gateway.store.ops import peer_calls
from autogrocery.gateway.wire.ops import order_row
from autogrocery.kit.errors import InDoubt, NotFound, NotTold
from autogrocery.kit.process.clock import now

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from uuid import UUID

    from autogrocery.gateway.peers.call_log import CallLog
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.inventory_operations import InventoryOperations
    from autogrocery.kit.pg.db import Db, Row

T = TypeVar("T")
MAX_CALLS: Final = 200
INVENTORY_S: Final = 0.6  # for inventory's answers: an operator has the bundle within a second
UNCLEAR: Final = "inventory gives no clear answer: "


async def view_bundle(
    db: Db, inventory: Inventory, operations: InventoryOperations, calls: CallLog, order_id: UUID
) -> OrderBundle:
    """Return the bundle of an order of any device. Raises NotFound(order_not_found) and Unavailable.

    An inventory that gives no clear answer within INVENTORY_S seconds, or that does not tell operators, is told in
    `inventory.untold`; the rest is told all the same.
    """
    order, owed = await orders.get(db, order_id), await ops_orders.get_order(db, order_id)
    if order is None or owed is None:
        raise NotFound("order_not_found", "there is no such order")
    messages = [(row["event"], _message(row)) for row in await ops_orders.list_messages(db, order_id)]
    return OrderBundle(
        at=now(),
        order=order_row(owed.row),
        version=order.version,
        intent=order.intent,
        intent_at=owed.intent_at,
        attempts=owed.attempts,
        quoted_total_cents=order.quoted_total_cents,
        outcome=order.outcome,
        expires_at=order.expires_at,
        confirmed_at=order.confirmed_at,
        dispatched_at=order.dispatched_at,
        due_at=owed.due_at,
        lines=[
            BundleLine(line.sku, line.name, line.requested, line.quantity, line.unit_price_cents, line.picked)
            for line in order.lines
        ],
        robots=[BundleRobot(one.robot_id, one.robot_class, one.assignment_id) for one in order.robots or ()],
        history=[BundleChange(*row.values()) for row in await ops_orders.list_history(db, order_id)],
        calls=await _list_calls(db, calls, order_id),
        webhooks=[InboxDelivery(*row.values()) for row in await ops_orders.list_webhooks(db, order_id)],
        receipt=next((message for event, message in messages if event == "receipt"), None),
        alerts=[message for event, message in messages if event != "receipt"],
        inventory=await _ask(inventory, operations, order_id),
        diagnosis=diagnose_order(OrderFacts(order.status, order.intent, owed.row.attention, overdue=order.overdue)),
    )


async def _list_calls(db: Db, calls: CallLog, order_id: UUID) -> list[PeerCall]:
    """Return remembered and stored calls, oldest first; one that is both is told as stored."""
    stored = await peer_calls.list_calls(db, order_id, MAX_CALLS)
    known = {(one.peer, one.method, one.at) for one in stored}
    remembered = [
        one for one in map(stored_call, calls.of_order(str(order_id))) if (one.peer, one.method, one.at) not in known
    ]
    told = [
        *(PeerCall(c.peer, c.method, c.at, c.ms, c.outcome, c.attempt, "stored") for c in stored),
        *(PeerCall(c.peer, c.method, c.at, c.ms, c.outcome, c.attempt, "memory") for c in remembered),
    ]
    return sorted(told, key=lambda call: call.at)[-MAX_CALLS:]


async def _ask(inventory: Inventory, operations: InventoryOperations, order_id: UUID) -> InventoryView:
    report, detail = await asyncio.gather(
        _answer(inventory.get_order(order_id)), _answer(operations.get_order_detail(order_id))
    )
    state, picked = (None, {}) if isinstance(report, str) else (report.state, dict(report.picked))
    if detail is None or isinstance(detail, str):
        untold = report if isinstance(report, str) else detail
        return InventoryView(state, picked, [], [], [], untold)
    untold = report if isinstance(report, str) else None
    return InventoryView(state, picked, detail.assignments, detail.lots, detail.webhooks, untold)


async def _answer(call: Awaitable[T]) -> T | str:
    """Return the answer, or in words why there is none."""
    try:
        async with asyncio.timeout(INVENTORY_S):
            return await call
    except NotTold as refused:
        return refused.detail
    except InDoubt as trouble:
        return UNCLEAR + trouble.detail
    except TimeoutError:
        return f"{UNCLEAR}none within {INVENTORY_S} s"


def _message(row: Row) -> OutboxDelivery:
    waits = row["done_at"] is None and row["dead_at"] is None
    return OutboxDelivery(
        row["event"],
        row["created_at"],
        row["attempts"],
        row["next_attempt_at"] if waits else None,
        row["done_at"],
        row["dead_at"],
        row["last_error"],
    )
