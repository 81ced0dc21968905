"""Hold stock for an order."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from autogrocery.inventory.actions.settle_lots import once_settled
from autogrocery.inventory.core.stock import OnReserve, Refusal, Reserved, ShortError, on_reserve, short
from autogrocery.inventory.store import holds, orders
from autogrocery.kit.process import clock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg.db import Db, Statements


async def reserve_items(db: Db, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool) -> Reserved:
    """Hold all lines for `hold_s` seconds, or with `allow_partial` what there is of them; a refusal changes nothing.

    The same call again gives the same lines (K1). On a shortage, holds on these SKUs that are overdue are given back first;
    what has expired is taken from the shelf first.
    """
    reserved = await _reserve_fresh(db, order_id, lines, hold_s, allow_partial=allow_partial)
    if reserved.refusal is Refusal.SHORTAGE and await holds.lapse(db, [line.sku for line in reserved.short]):
        return await _reserve_fresh(db, order_id, lines, hold_s, allow_partial=allow_partial)
    return reserved


async def _reserve_fresh(
    db: Db, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> Reserved:
    return await once_settled(db, lambda: _reserve(db, order_id, lines, hold_s, allow_partial=allow_partial))


async def _reserve(db: Db, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool) -> Reserved:
    shortage = None
    try:
        held = await holds.hold(db, order_id, lines, hold_s, allow_partial=allow_partial)
        if held is not None:
            return held
    except ShortError as error:
        shortage = _refused(error)  # perhaps only because this very order holds it already
    try:
        async with db.transaction() as tx:
            known = await _reserve_again(tx, order_id, lines, hold_s, allow_partial=allow_partial)
    except ShortError as error:
        return _refused(error)
    if known is not None:
        return known
    if shortage is None:
        raise LookupError("an order was in the register and then was not: rows are never deleted")
    return shortage


async def _reserve_again(
    tx: Statements, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> Reserved | None:
    order = await orders.lock(tx, order_id, lines)
    if order is None:
        return None
    step = on_reserve(order, allow_partial=allow_partial)
    match step:
        case OnReserve.REFUSE_RELEASED:
            return Reserved(refusal=Refusal.RELEASED)
        case OnReserve.REFUSE_DIFFERENT:
            return Reserved(refusal=Refusal.ITEMS_DIFFER)
        case OnReserve.TAKE_ANEW:
            await holds.clear(tx, order_id, lines, held=order.holds)
            return await holds.hold_again(tx, order_id, lines, hold_s, allow_partial=allow_partial, keep_request=False)
        case _:
            return await _repeat(tx, order_id, hold_s, step)


async def _repeat(tx: Statements, order_id: UUID, hold_s: int, step: OnReserve) -> Reserved:
    """Answer with what was granted before, whatever was asked for then."""
    granted = await orders.lines(tx, order_id)
    if step is OnReserve.RETAKE:
        await holds.clear(tx, order_id, granted, held=False)
        return await holds.hold_again(tx, order_id, granted, hold_s, allow_partial=False, keep_request=True)
    if step is OnReserve.RENEW:
        return Reserved(granted, await holds.renew(tx, order_id, hold_s))
    return Reserved(granted, clock.now() + timedelta(seconds=hold_s))  # firm by now: nothing expires


def _refused(error: ShortError) -> Reserved:
    refusal, lines = short(error.found)
    return Reserved(refusal=refusal, short=lines)
