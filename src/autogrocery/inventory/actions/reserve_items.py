"""Hold stock for an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.actions.write_off_lots import with_write_off
from autogrocery.inventory.core.stock import (
    Refusal,
    ReserveResult,
    ShortageError,
    refuse,
)
from autogrocery.inventory.store import holds, reservations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg.db import Db


async def reserve_items(
    db: Db, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> ReserveResult:
    """Hold all lines for `hold_s` seconds, or with `allow_partial` what is available; a refusal changes nothing.

    A repeated call holds the same lines (K1, docs/PROTOCOL.md#what-a-peer-promises). Expired lots are written off
    before stock is held. After a shortage, expired holds on these SKUs are freed and the call is tried once more.
    """
    result = await _reserve_written_off(db, order_id, lines, hold_s, allow_partial=allow_partial)
    if result.refusal is Refusal.SHORTAGE and await holds.lapse(db, [line.sku for line in result.shortages]):
        return await _reserve_written_off(db, order_id, lines, hold_s, allow_partial=allow_partial)
    return result


async def _reserve_written_off(
    db: Db, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool
) -> ReserveResult:
    return await with_write_off(db, lambda: _reserve(db, order_id, lines, hold_s, allow_partial=allow_partial))


async def _reserve(db: Db, order_id: UUID, lines: Sequence[Line], hold_s: int, *, allow_partial: bool) -> ReserveResult:
    shortage = None
    try:
        held = await holds.hold(db, order_id, lines, hold_s, allow_partial=allow_partial)
        if held is not None:
            return held
    except ShortageError as error:
        shortage = refuse(error.lines)  # the order itself may hold the stock already: look below
    try:
        known = await reservations.reserve_known(db, order_id, lines, hold_s, allow_partial=allow_partial)
    except ShortageError as error:
        return refuse(error.lines)
    if known is not None:
        return known
    if shortage is None:
        raise LookupError("an order vanished from the register: rows are never deleted")
    return shortage
