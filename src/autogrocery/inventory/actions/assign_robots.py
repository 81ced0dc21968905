"""Hand an order to the robots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.actions.settle_lots import once_settled
from autogrocery.inventory.core.picking import Dispatched
from autogrocery.inventory.core.stock import OnAssign, ShortError, on_assign
from autogrocery.inventory.store import dispatches, holds, orders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.inventory.peers.robots import Announcer
    from autogrocery.kit.pg.db import Db, Statements

TAKE_FOR_S = 60  # of a hold that becomes an allocation in the same transaction; nobody ever sees it


class Robots(Struct, frozen=True):
    """Which robots count as there: seen within `seen_s`, with fewer than `queue_max` assignments waiting."""

    seen_s: float
    queue_max: int


class RefusedError(Exception):
    """Not to be dispatched, and why; rolls back what the transaction took."""


class FasterError(Exception):
    """Somebody registered the order meanwhile; rolls back, because the stock is locked by now and the order is not."""


async def assign_robots(
    db: Db, announcer: Announcer, order_id: UUID, lines: Sequence[Line], robots: Robots
) -> Dispatched:
    """Make the order's stock firm and give each aisle's lines to a robot, once; a refusal changes nothing (K4).

    The same call again answers with the same assignments, also after they were picked (K1).
    """
    try:
        return await once_settled(db, lambda: _assign(db, announcer, order_id, lines, robots))
    except RefusedError as refusal:
        return Dispatched(refused=str(refusal))
    except ShortError as error:
        return Dispatched(refused="not enough stock: " + ", ".join(line.sku for line in error.found))


async def _assign(db: Db, announcer: Announcer, order_id: UUID, lines: Sequence[Line], robots: Robots) -> Dispatched:
    allocated = await dispatches.allocate(
        db, order_id, lines, seen_s=robots.seen_s, queue_max=robots.queue_max
    )  # the common case: held for these lines
    if allocated is None:
        try:
            prepared = await _prepare_and_allocate(db, order_id, lines, robots)
        except FasterError:  # in a new transaction: the register row must be locked before any stock
            prepared = await _prepare_and_allocate(db, order_id, lines, robots)
        if isinstance(prepared, Dispatched):
            return prepared
        allocated = prepared
    dispatched = Dispatched(_check(allocated).assignments)
    for assignment in dispatched.assignments:
        await announcer.announce(order_id, assignment)
    return dispatched


async def _prepare_and_allocate(
    db: Db, order_id: UUID, lines: Sequence[Line], robots: Robots
) -> Dispatched | dispatches.Allocated | None:
    """Take what the order does not hold yet and allocate it in one transaction; or say what was answered before."""
    async with db.transaction() as tx:
        repeated = await _prepare(tx, order_id, lines)
        if repeated is not None:
            return repeated
        allocated = await dispatches.allocate(tx, order_id, lines, seen_s=robots.seen_s, queue_max=robots.queue_max)
        _check(allocated)
    return allocated


async def _prepare(tx: Statements, order_id: UUID, lines: Sequence[Line]) -> Dispatched | None:
    """Make sure that the order holds these lines, or say what was answered before."""
    order = await orders.lock(tx, order_id, lines)
    if order is None:
        if await holds.hold(tx, order_id, lines, TAKE_FOR_S, allow_partial=False) is None:
            raise FasterError
        return None
    match on_assign(order):
        case OnAssign.REFUSE_RELEASED:
            raise RefusedError("the order was released")
        case OnAssign.REFUSE_DIFFERENT:
            raise RefusedError("the order was dispatched with other items")
        case OnAssign.REPEAT:
            return Dispatched(await dispatches.of_order(tx, order_id))
        case OnAssign.TAKE_ANEW:
            await holds.clear(tx, order_id, lines, held=order.holds)
            await holds.hold_again(tx, order_id, lines, TAKE_FOR_S, allow_partial=False, keep_request=False)
        case OnAssign.ALLOCATE:
            pass
    return None


def _check(allocated: dispatches.Allocated | None) -> dispatches.Allocated:
    if allocated is None:
        raise LookupError("the order was held a moment ago, under a lock")
    if allocated.missing:
        raise RefusedError(f"no robots of class {', '.join(allocated.missing)}")
    return allocated
