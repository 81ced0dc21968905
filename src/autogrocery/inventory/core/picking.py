"""Robots and their assignments: who works on what, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.inventory.core.stock import Line, is_sku
from autogrocery.kit.errors import Denied, Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    from autogrocery.inventory.core.putaway import Count


class OrderType(StrEnum):
    """Whether goods are taken from their shelves or put on them."""

    PICK = "PICK"
    PUTAWAY = "PUTAWAY"


class Assignment(Struct, frozen=True):
    """One robot's share of an order, or of a delivery: its lines of one aisle. A putaway is no robot's in particular."""

    assignment_id: UUID
    robot_id: str
    robot_class: str
    aisle: str
    lines: tuple[Line, ...]
    order_type: OrderType = OrderType.PICK


class Dispatched(Struct, frozen=True):
    """The answer to a dispatch: the assignments, or why there are none."""

    assignments: tuple[Assignment, ...] = ()
    refused: str | None = None


class Lease(Struct, frozen=True):
    """A robot's right to work on an assignment until `until`; `fence` names it and grows with each new holder.

    `counts` is what was reported of a putaway before.
    """

    fence: int
    until: datetime
    counts: tuple[Count, ...] = ()


class Outcome(StrEnum):
    """How an assignment ended: all there; not all on the shelf; the robot gave up and the rest still stands there."""

    PICKED = "PICKED"
    SHORT = "SHORT"
    FAILED = "FAILED"


class Receipt(StrEnum):
    """What became of a report."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    STALE_FENCE = "STALE_FENCE"


class Pick(Struct, frozen=True):
    """How many of one SKU were picked."""

    sku: str
    picked: int


class Report(Struct, frozen=True):
    """A robot's last word on an assignment. A SKU it does not mention was picked in full (PICKED) or not at all."""

    assignment_id: UUID
    robot_id: str
    fence: int
    sequence: int
    outcome: Outcome
    picks: tuple[Pick, ...]


def checked(picks: Iterable[Pick]) -> tuple[Pick, ...]:
    """Return the picks sorted by SKU; raises Invalid for a negative count or a SKU that stands twice."""
    ordered = tuple(sorted(picks, key=lambda pick: pick.sku))
    if len({pick.sku for pick in ordered}) != len(ordered):
        raise Invalid("invalid_items", "a SKU stands twice")
    if any(pick.picked < 0 or not is_sku(pick.sku) for pick in ordered):
        raise Invalid("invalid_items", "a count is negative, or a SKU is none")
    return ordered


class Last(Struct, frozen=True):
    """The lease an assignment was last given, whether it has been reported on under it, and the class it wants."""

    reported: bool
    holder: str | None
    fence: int | None
    robot_class: str


def of_another_class(wanted: str) -> Denied:
    """The refusal of a robot of another class."""
    return Denied("insufficient_scope", f"the assignment is for robots of class {wanted}")


def too_late(last: Last | None, robot_id: str, fence: int, classes: Collection[str]) -> Receipt | None:
    """Say why nothing more can be reported on an assignment, or a putaway, under this lease; None if it can.

    Raises NotFound if there is none such, Denied if it is of none of `classes`.
    """
    if last is None:
        raise NotFound("assignment_not_found", "there is no such assignment")
    if last.robot_class not in classes:
        raise of_another_class(last.robot_class)
    if (last.fence, last.holder) != (fence, robot_id):
        return Receipt.STALE_FENCE
    return Receipt.DUPLICATE if last.reported else None
