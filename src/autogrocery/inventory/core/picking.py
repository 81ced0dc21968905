"""Assignments of orders to robots, and the robots' reports on them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.stock import Line, State, is_sku
from autogrocery.kit.errors import Denied, Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    from autogrocery.inventory.core.putaway import ReceivedCount


class OrderType(StrEnum):
    """Whether goods are taken from their shelves or put on them."""

    PICK = "PICK"
    PUTAWAY = "PUTAWAY"


class Assignment(Struct, frozen=True):
    """One robot's share of an order or a restock order: its lines of one aisle.

    `robot_id` is empty for a putaway: any robot of the class may start it.
    """

    assignment_id: UUID
    robot_id: str
    robot_class: str
    aisle: str
    lines: tuple[Line, ...]
    order_type: OrderType = OrderType.PICK


class DispatchResult(Struct, frozen=True):
    """The assignments of a dispatch, or the reason why it was refused."""

    assignments: tuple[Assignment, ...] = ()
    refused: str | None = None


class OrderProgress(Struct, frozen=True):
    """An order's state in the register, and the picks reported so far."""

    state: State
    picks: tuple[Pick, ...]


class Lease(Struct, frozen=True):
    """A robot's right to work on an assignment until `until`; `fence` identifies it and grows with each new holder.

    `counts` are the totals reported so far, of a putaway only.
    """

    fence: int
    until: datetime
    counts: tuple[ReceivedCount, ...] = ()


class Outcome(StrEnum):
    """How a pick ended: PICKED, all of it; SHORT, units were missing; FAILED, the robot gave up and left the rest."""

    PICKED = "PICKED"
    SHORT = "SHORT"
    FAILED = "FAILED"


class Acknowledgement(StrEnum):
    """How a robot's report is answered."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    STALE_FENCE = "STALE_FENCE"


class Pick(Struct, frozen=True):
    """How many units of one SKU were picked."""

    sku: str
    picked: int


class Report(Struct, frozen=True):
    """A robot's final report on an assignment. A SKU that `picks` omits was picked in full (PICKED) or not at all."""

    assignment_id: UUID
    robot_id: str
    fence: int
    sequence: int
    outcome: Outcome
    picks: tuple[Pick, ...]


def check_picks(picks: Iterable[Pick]) -> tuple[Pick, ...]:
    """Return the picks sorted by SKU. Raises Invalid for a negative count, a malformed SKU, or a SKU given twice."""
    ordered = tuple(sorted(picks, key=lambda pick: pick.sku))
    if len({pick.sku for pick in ordered}) != len(ordered):
        raise Invalid("invalid_items", "a SKU is given twice")
    if any(pick.picked < 0 or not is_sku(pick.sku) for pick in ordered):
        raise Invalid("invalid_items", "a count is negative, or a SKU is malformed")
    return ordered


class LastLease(Struct, frozen=True):
    """An assignment's class, its newest lease, and whether it was reported on under that lease."""

    reported: bool
    holder: str | None
    fence: int | None
    robot_class: str


def wrong_class_error(wanted: str) -> Denied:
    """Return the error for a robot of another class than `wanted`."""
    return Denied("insufficient_scope", f"the assignment is for robots of class {wanted}")


def late_acknowledgement(
    last: LastLease | None, robot_id: str, fence: int, classes: Collection[str]
) -> Acknowledgement | None:
    """Return how to acknowledge a report that comes too late under this lease; None if the lease is still current.

    Serves picks and putaways. Raises NotFound if there is no such assignment, Denied if its class is not in `classes`.
    """
    if last is None:
        raise NotFound("assignment_not_found", "there is no such assignment")
    if last.robot_class not in classes:
        raise wrong_class_error(last.robot_class)
    if (last.fence, last.holder) != (fence, robot_id):
        return Acknowledgement.STALE_FENCE
    return Acknowledgement.DUPLICATE if last.reported else None
