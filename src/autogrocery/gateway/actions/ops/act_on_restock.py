"""Act on a restock as an operator: run what its loops would run later, now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.ops.actions import ActionOut
from autogrocery.gateway.actions.ops.lifted_flag import lifted_flag
from autogrocery.gateway.actions.ops.record_write import Recorded, Write, Written, record_write
from autogrocery.gateway.actions.reconcile_restock import reconcile_restock
from autogrocery.gateway.actions.submit_restock import submit_restock
from autogrocery.gateway.core.diagnosis import ActionName
from autogrocery.gateway.store import due_restocks
from autogrocery.gateway.store.ops import due_now
from autogrocery.kit.errors import Conflict, InDoubt, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.store.ops.due_now import RowState
    from autogrocery.kit.pg.db import Db


class RestockPorts(Struct, frozen=True):
    """What the actions use."""

    db: Db
    inventory: Inventory
    pricing: Pricing
    metrics: Metrics


async def act_on_restock(ports: RestockPorts, order_id: UUID, name: str, write: Write) -> Recorded[ActionOut]:
    """Run one safe action on the restock and tell what it changed.

    Raises NotFound(order_not_found, no_such_action), Conflict(not_owed, call_owed, order_ended), what `record_write`
    raises, and Unavailable.
    """
    if name not in ACTIONS:
        raise NotFound("no_such_action", f"the actions on restocks are {', '.join(ACTIONS)}")
    before = await _read(ports, order_id)

    async def run() -> Written[ActionOut]:
        in_doubt = False
        try:
            await ACTIONS[name](ports, order_id, before)
        except InDoubt:
            in_doubt = True
        after = await _read(ports, order_id)
        words = f"The peers have answered: the delivery is {after.words}."
        if in_doubt or after.intent is not None:
            in_doubt, words = True, "A peer gave no clear answer; the loops ask again by themselves."
        elif after.attention is not None:
            words = f"Inventory contradicts: {after.attention}."
        return Written(ActionOut(not in_doubt, before.words, after.words, words), after.facts, in_doubt)

    return await record_write(ports.db, write, ActionOut, before.facts, run)


async def _read(ports: RestockPorts, order_id: UUID) -> RowState:
    found = await due_now.read_restock(ports.db, order_id)
    if found is None:
        raise NotFound("order_not_found", "there is no such restock")
    return found


async def _retry(ports: RestockPorts, order_id: UUID, before: RowState) -> None:
    """Make the calls that are owed, as the restock sweeper does."""
    if before.intent is None:
        raise Conflict("not_owed", f"no call is owed: the delivery is {before.words}")
    await submit_restock(ports.db, ports.inventory, ports.pricing, ports.metrics, order_id)


async def _reconcile(ports: RestockPorts, order_id: UUID, before: RowState) -> None:
    """Ask inventory, as the restock reconciler does."""
    if before.intent is not None:
        raise Conflict("call_owed", f"a call is owed first: the delivery is {before.words}")
    if before.ended:
        raise Conflict("order_ended", f"the delivery has ended: {before.words}")
    db = ports.db
    unflag, flag = partial(due_now.unflag_restock, db, order_id), partial(due_restocks.flag, db, order_id)
    async with lifted_flag(before.attention, unflag, flag):
        await reconcile_restock(db, ports.inventory, ports.metrics, order_id)


ACTIONS: dict[str, Callable[[RestockPorts, UUID, RowState], Awaitable[None]]] = {
    ActionName.RETRY: _retry,
    ActionName.RECONCILE: _reconcile,
}
