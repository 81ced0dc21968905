"""A restock order's way to the shelves: states, totals, and what a robot's report adds to them. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import uuid5

from msgspec import Struct

from autogrocery.inventory.core.restock import MAX_LINES, MAX_QUANTITY
from autogrocery.inventory.core.stock import Line, is_sku
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

MAX_COUNT: Final = 2 * MAX_QUANTITY  # a truck may bring more than its manifest announced


class RestockState(StrEnum):
    """A restock order's state. RECEIVED and REJECTED (no unit of it was good) are final."""

    RECEIVING = "RECEIVING"
    RECEIVED = "RECEIVED"
    REJECTED = "REJECTED"


class ReceivedCount(Struct, frozen=True):
    """Totals so far of one line: units received, and how many of those are damaged."""

    sku: str
    received: int
    damaged: int

    @property
    def good(self) -> int:
        """The units that can be sold."""
        return self.received - self.damaged


class RestockProgress(Struct, frozen=True):
    """A restock order's state, and the totals of its lines so far."""

    state: RestockState
    counts: tuple[ReceivedCount, ...]


class PutawayReport(Struct, frozen=True):
    """A robot's report on a putaway: totals of the lines it names, and whether the putaway is `done`."""

    assignment_id: UUID
    robot_id: str
    fence: int
    sequence: int
    counts: tuple[ReceivedCount, ...]
    done: bool


class PutawayProgress(Struct, frozen=True):
    """What a report changes: the lines' new totals, and the good units it adds. Both are empty if nothing is new."""

    counts: tuple[ReceivedCount, ...] = ()
    added: tuple[Line, ...] = ()


def check_counts(counts: Iterable[ReceivedCount]) -> tuple[ReceivedCount, ...]:
    """Return the counts sorted by SKU. Raises Invalid for a count out of range, over 1,000, or a SKU given twice."""
    ordered = tuple(sorted(counts, key=lambda count: count.sku))
    if len(ordered) > MAX_LINES or len({count.sku for count in ordered}) != len(ordered):
        raise Invalid("invalid_items", f"has more than {MAX_LINES} items, or a SKU twice")
    for count in ordered:
        if not is_sku(count.sku) or not 0 <= count.damaged <= count.received <= MAX_COUNT:
            raise Invalid(
                "invalid_items",
                f"a count is not 0..{MAX_COUNT}, more is damaged than received, or a SKU is malformed",
            )
    return ordered


def compute_progress(known: Sequence[ReceivedCount], reported: Sequence[ReceivedCount]) -> PutawayProgress:
    """Return what a report adds to the totals that are known.

    Totals never decrease: of two counts the greater is the newer, so reports may come in any order and any number of
    times. Units may differ from the manifest in both directions. Raises Invalid for a SKU that the assignment does not
    have, and for damage to units reported good before: those are on sale, and may be sold.
    """
    before = {count.sku: count for count in known}
    if any(count.sku not in before for count in reported):
        raise Invalid("invalid_items", "counts a SKU that the assignment does not have")
    now = [_greater(before[count.sku], count) for count in reported]
    changed = tuple(count for count in now if count != before[count.sku])
    added = [Line(count.sku, count.good - before[count.sku].good) for count in changed]
    if any(line.quantity < 0 for line in added):
        raise Invalid("invalid_items", "counts as damaged what was reported good before")
    return PutawayProgress(changed, tuple(line for line in added if line.quantity))


def putaway_id(order_id: UUID, aisle: str) -> UUID:
    """Return the id of a restock order's putaway in one aisle, the same on every call (UUID version 5, RFC 9562 §5.5).

    It differs from the id of an assignment in that aisle of an order with the same id.
    """
    return uuid5(order_id, f"putaway {aisle}")


def _greater(one: ReceivedCount, other: ReceivedCount) -> ReceivedCount:
    return ReceivedCount(one.sku, max(one.received, other.received), max(one.damaged, other.damaged))
