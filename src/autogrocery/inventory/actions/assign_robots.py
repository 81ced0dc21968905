"""Dispatch an order: allocate its stock and assign its lines to robots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.actions.write_off_lots import with_write_off
from autogrocery.inventory.core.picking import DispatchResult
from autogrocery.inventory.core.stock import ShortageError
from autogrocery.inventory.store import dispatches
from autogrocery.inventory.store.dispatches import ConcurrentHoldError, DispatchRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.inventory.core.stock import Line
    from autogrocery.inventory.peers.robots import Announcer
    from autogrocery.kit.pg.db import Db


class RobotFilter(Struct, frozen=True):
    """Which robots may be assigned: seen within `seen_s` seconds, with fewer than `queue_max` open assignments."""

    seen_s: float
    queue_max: int


async def assign_robots(
    db: Db, announcer: Announcer, order_id: UUID, lines: Sequence[Line], robot_filter: RobotFilter
) -> DispatchResult:
    """Allocate the order's stock and assign each aisle's lines to a robot, once; a refusal changes nothing (K4).

    A repeated call returns the same assignments, even after they were picked (K1,
    docs/PROTOCOL.md#what-a-peer-promises).
    """
    try:
        return await with_write_off(db, lambda: _assign(db, announcer, order_id, lines, robot_filter))
    except DispatchRefusedError as refusal:
        return DispatchResult(refused=str(refusal))
    except ShortageError as error:
        return DispatchResult(refused="not enough stock: " + ", ".join(line.sku for line in error.lines))


async def _assign(
    db: Db, announcer: Announcer, order_id: UUID, lines: Sequence[Line], robot_filter: RobotFilter
) -> DispatchResult:
    seen_s, queue_max = robot_filter.seen_s, robot_filter.queue_max
    # First the common case: the order holds exactly these lines.
    allocated = await dispatches.allocate(db, order_id, lines, seen_s=seen_s, queue_max=queue_max)
    if allocated is not None:
        assignments = dispatches.require_assignments(allocated)
    else:
        try:
            dispatch = await dispatches.hold_and_allocate(db, order_id, lines, seen_s=seen_s, queue_max=queue_max)
        except ConcurrentHoldError:  # once more in a new transaction, which locks the register row first
            dispatch = await dispatches.hold_and_allocate(db, order_id, lines, seen_s=seen_s, queue_max=queue_max)
        if dispatch.repeated:
            return DispatchResult(dispatch.assignments)
        assignments = dispatch.assignments
    for assignment in assignments:
        await announcer.announce(order_id, assignment)
    return DispatchResult(assignments)
