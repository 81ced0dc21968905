"""Reservations of orders that are already in the register: renewed, repeated, held again, replaced or refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from autogrocery.inventory.core.stock import Refusal, ReserveDecision, ReserveResult, decide_reserve
from autogrocery.inventory.store import holds, orders
from autogrocery.kit.process import clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg.db import Db, DbConnection


async def reserve_known(
    db: Db, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> ReserveResult | None:
    """Reserve for an order in the register, in one transaction, as `decide_reserve` decides; None if it is unknown.

    Raises ShortageError or StaleStockError, and then nothing has changed.
    """
    async with db.transaction() as tx:
        return await _reserve_known(tx, order_id, lines, hold_s, allow_partial=allow_partial)


async def _reserve_known(
    tx: DbConnection, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> ReserveResult | None:
    order = await orders.lock(tx, order_id, lines)
    if order is None:
        return None
    decision = decide_reserve(order, allow_partial=allow_partial)
    match decision:
        case ReserveDecision.REFUSE_RELEASED:
            return ReserveResult(refusal=Refusal.RELEASED)
        case ReserveDecision.REFUSE_DIFFERENT:
            return ReserveResult(refusal=Refusal.ITEMS_DIFFER)
        case ReserveDecision.REPLACE_HOLD:
            await holds.remove_lines(tx, order_id, lines, held=order.is_held)
            return await holds.hold_again(tx, order_id, lines, hold_s, allow_partial=allow_partial, keep_request=False)
        case _:
            return await _repeat(tx, order_id, hold_s, decision)


async def _repeat(tx: DbConnection, order_id: UUID, hold_s: int, decision: ReserveDecision) -> ReserveResult:
    """Return the lines granted earlier, held again if their hold lapsed, renewed if it is live."""
    granted = await orders.list_lines(tx, order_id)
    if decision is ReserveDecision.HOLD_AGAIN:
        await holds.remove_lines(tx, order_id, granted, held=False)
        return await holds.hold_again(tx, order_id, granted, hold_s, allow_partial=False, keep_request=True)
    if decision is ReserveDecision.RENEW:
        return ReserveResult(granted, await holds.renew(tx, order_id, hold_s))
    return ReserveResult(granted, clock.now() + timedelta(seconds=hold_s))  # allocated by now: nothing expires
