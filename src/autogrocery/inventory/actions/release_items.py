"""Give an order's stock back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.stock import OnRelease, State, on_release
from autogrocery.inventory.store import holds, orders

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


async def release_items(db: Db, order_id: UUID, *, cancel: bool) -> bool:
    """Return the stock and leave a tombstone, which refuses the order for ever (K2); False if robots have it (K3).

    `cancel` also withdraws a dispatch on which no robot has started. An unknown order gets its tombstone too.
    """
    async with db.transaction() as tx:
        state = await orders.lock_state(tx, order_id)
        if state is None:
            if await orders.bury_unknown(tx, order_id):
                return True
            state = await orders.lock_state(tx, order_id)
        if state is None:
            raise LookupError("an order was in the register and then was not: rows are never deleted")
        started = state is State.ASSIGNED and await orders.started(tx, order_id)
        match on_release(state, cancel=cancel, started=started):
            case OnRelease.ALREADY_ASSIGNED:
                return False
            case OnRelease.RETURN_HELD:
                await holds.give_back(tx, order_id, allocated=False)
            case OnRelease.RETURN_ALLOCATED:
                await holds.give_back(tx, order_id, allocated=True)
            case OnRelease.BURY:
                await orders.bury(tx, order_id)
            case OnRelease.ALREADY_RELEASED:
                pass
    return True
