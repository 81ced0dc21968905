"""Act on an order as an operator: run what the loops would run later, now. No action has code of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.ops.actions import ActionOut
from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.ops.lifted_flag import lifted_flag
from autogrocery.gateway.actions.ops.record_write import Recorded, Write, Written, record_write
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.diagnosis import ActionName
from autogrocery.gateway.store import due, receipts
from autogrocery.gateway.store.ops import due_now
from autogrocery.kit.errors import Conflict, Gone, InDoubt, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.ops.due_now import RowState
    from autogrocery.gateway.store.order_store import OrderStore

NO_ANSWER = "Inventory gave no clear answer; the loops ask again by themselves."


class OrderPorts(Struct, frozen=True):
    """What the actions use; `give_up_after_s` is DISPATCH_PATIENCE_S."""

    store: OrderStore
    inventory: Inventory
    metrics: Metrics
    give_up_after_s: float


async def act_on_order(ports: OrderPorts, order_id: UUID, name: str, write: Write) -> Recorded[ActionOut]:
    """Run one safe action on the order (docs/PROTOCOL.md#operators) and tell what it changed.

    Raises NotFound(order_not_found, no_such_action), Conflict if the order's state does not allow it (not_owed,
    too_late_to_cancel, order_ended, not_dispatched, release_owed, receipt_sent, no_receipt), what `record_write`
    raises, and Unavailable.
    """
    if name not in ACTIONS:
        raise NotFound("no_such_action", f"the actions on orders are {', '.join(ACTIONS)}")
    before = await _read(ports, order_id)

    async def run() -> Written[ActionOut]:
        try:
            words = await ACTIONS[name](ports, order_id, before)
            in_doubt = False
        except InDoubt:
            words, in_doubt = NO_ANSWER, True
        after = await _read(ports, order_id)
        in_doubt = in_doubt or (after.intent is not None and name != ActionName.RESEND_RECEIPT)
        applied = not in_doubt
        return Written(
            ActionOut(applied, before.words, after.words, NO_ANSWER if in_doubt else words), after.facts, in_doubt
        )

    return await record_write(ports.store.db, write, ActionOut, before.facts, run)


async def _read(ports: OrderPorts, order_id: UUID) -> RowState:
    found = await due_now.read_order(ports.store.db, order_id)
    if found is None:
        raise NotFound("order_not_found", "there is no such order")
    return found


async def _retry_dispatch(ports: OrderPorts, order_id: UUID, before: RowState) -> str:
    """Make the dispatch that is owed, as the sweeper does."""
    if before.intent != "DISPATCH":
        raise Conflict("not_owed", f"no dispatch is owed: the order is {before.words}")
    return await _sweep(ports, order_id)


async def _sweep(ports: OrderPorts, order_id: UUID) -> str:
    claimed = await due_now.claim_order(ports.store.db, order_id, due.LEASE_S)
    if claimed is None:
        return "A loop was first."
    done = await sweep(ports.store, ports.inventory, ports.metrics, claimed, give_up_after_s=ports.give_up_after_s)
    return "A loop was first." if done is None else f"Inventory has answered: the order is {done.status}."


async def _release(ports: OrderPorts, order_id: UUID, before: RowState) -> str:
    """Cancel the order in its device's name; make a release that is owed; expire a quote whose time has passed."""
    if before.intent == "RELEASE":
        return await _sweep(ports, order_id)
    if before.overdue:
        done = await expire(ports.store, ports.inventory, ports.metrics, order_id)
        return "A loop was first." if done is None else f"The quote's time had passed: the order is {done.status}."
    try:
        result = await cancel(ports.store, ports.inventory, ports.metrics, before.user_id, order_id)
    except Gone as gone:
        raise Conflict("order_ended", "the quote has expired") from gone
    if before.status == result.order.status:
        return f"Nothing was to be done: the order is {result.order.status}."
    return "The goods are given back."


async def _reconcile(ports: OrderPorts, order_id: UUID, before: RowState) -> str:
    """Ask inventory, as the reconciler does. A flag that is there is set anew if inventory still contradicts."""
    if before.ended:
        raise Conflict("order_ended", f"the order has ended: {before.status}")
    if before.intent is not None:
        raise Conflict("call_owed", f"a call is owed first: the order is {before.words}")
    if before.status != "PROCESSING":
        raise Conflict("not_dispatched", f"no robots have it: the order is {before.words}")
    db = ports.store.db
    unflag, flag = partial(due_now.unflag_order, db, order_id), partial(due.flag, db, order_id)
    async with lifted_flag(before.attention, unflag, flag):
        await reconcile(ports.store, ports.inventory, ports.metrics, order_id)
    after = await _read(ports, order_id)
    if after.attention is not None:
        return f"Inventory contradicts: {after.attention}."
    return f"Inventory has answered: the order is {after.status}."


async def _resend_receipt(ports: OrderPorts, order_id: UUID, _before: RowState) -> str:
    """Make the receipt due, dead or waiting for its next try. A receipt that was sent is never sent again."""
    db = ports.store.db
    found = await due_now.read_receipt(db, order_id)
    if found is None:
        raise Conflict("no_receipt", "the order has no receipt: it is not completed")
    if found.state == "done":
        raise Conflict("receipt_sent", f"nothing is to be sent: {found.note or 'the receipt was sent'}")
    if found.state == "dead":
        return "The receipt is due again." if await receipts.replay(db, [order_id]) else "Another caller was first."
    return (
        "The receipt is due now." if await due_now.hasten_receipt(db, order_id) else "The receipt is due within 30 s."
    )


ACTIONS: dict[str, Callable[[OrderPorts, UUID, RowState], Awaitable[str]]] = {
    ActionName.RETRY_DISPATCH: _retry_dispatch,
    ActionName.RELEASE: _release,
    ActionName.RECONCILE: _reconcile,
    ActionName.RESEND_RECEIPT: _resend_receipt,
}
