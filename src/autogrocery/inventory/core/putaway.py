"""A delivery on its way to the shelves: states, totals, and what a robot's report adds to them. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import uuid5

from msgspec import Struct

from autogrocery.inventory.core.delivery import MAX_LINES, MAX_QUANTITY
from autogrocery.inventory.core.stock import Line, is_sku
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

MAX_COUNT: Final = 2 * MAX_QUANTITY  # a truck may bring more than it announced


class RestockState(StrEnum):
    """Where a delivery stands. RECEIVED and REJECTED (no unit of it was good) are final."""

    RECEIVING = "RECEIVING"
    RECEIVED = "RECEIVED"
    REJECTED = "REJECTED"


class Count(Struct, frozen=True):
    """Of one line, the units that came, and how many of those are damaged: totals so far."""

    sku: str
    received: int
    damaged: int

    @property
    def good(self) -> int:
        """The units that can be sold."""
        return self.received - self.damaged


class PutawayReport(Struct, frozen=True):
    """A robot's word on an assignment: totals of the lines it names, and whether the assignment is `done`."""

    assignment_id: UUID
    robot_id: str
    fence: int
    sequence: int
    counts: tuple[Count, ...]
    done: bool


class Progress(Struct, frozen=True):
    """What a report changes: the lines' new totals, and the good units it adds. Nothing in it: it says nothing new."""

    counts: tuple[Count, ...] = ()
    units: tuple[Line, ...] = ()


def checked(counts: Iterable[Count]) -> tuple[Count, ...]:
    """Return the counts sorted by SKU; raises Invalid for what can't be counts, more than 1,000, or a SKU that stands twice."""
    ordered = tuple(sorted(counts, key=lambda count: count.sku))
    if len(ordered) > MAX_LINES or len({count.sku for count in ordered}) != len(ordered):
        raise Invalid("invalid_items", f"has more than {MAX_LINES} items, or a SKU twice")
    for count in ordered:
        if not is_sku(count.sku) or not 0 <= count.damaged <= count.received <= MAX_COUNT:
            raise Invalid(
                "invalid_items", f"a count is not 0..{MAX_COUNT}, more is damaged than came, or a SKU is none"
            )
    return ordered


def progress(known: Sequence[Count], told: Sequence[Count]) -> Progress:
    """Return what a report says that was not known.

    Totals never decrease: the greater of two counts is the newer one. So it does not matter in which order reports come, or
    how often. More or fewer units than the manifest announced are as true as those it did. Raises Invalid for a SKU that the
    assignment does not have, and for damage to units that were reported good: those are for sale, and may be sold.
    """
    before = {count.sku: count for count in known}
    if any(count.sku not in before for count in told):
        raise Invalid("invalid_items", "counts a SKU that the assignment does not have")
    now = [_greater(before[count.sku], count) for count in told]
    news = tuple(count for count in now if count != before[count.sku])
    units = [Line(count.sku, count.good - before[count.sku].good) for count in news]
    if any(line.quantity < 0 for line in units):
        raise Invalid("invalid_items", "counts as damaged what was reported good before")
    return Progress(news, tuple(line for line in units if line.quantity))


def putaway_id(order_id: UUID, aisle: str) -> UUID:
    """Return the id of a delivery's assignment in one aisle (RFC 9562 §5.5), another than an order's of the same id would have."""
    return uuid5(order_id, f"putaway {aisle}")


def _greater(one: Count, other: Count) -> Count:
    return Count(one.sku, max(one.received, other.received), max(one.damaged, other.damaged))
