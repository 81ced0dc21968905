"""What trucks brought, in figures, and whether all that they were told of it was true."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.replay.verdict import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autogrocery.client import Restock, ToldRestock
    from autogrocery.lab.replay.replay import Trip
    from autogrocery.lab.replay.trucks import Delivery

# A delivery's life as the protocol draws it; written down here once more on purpose: a judge must not ask the accused.
EDGES: Final[dict[str, frozenset[str]]] = {
    "ANNOUNCED": frozenset({"RECEIVING", "REJECTED"}),
    "RECEIVING": frozenset({"RECEIVED", "REJECTED"}),
    "RECEIVED": frozenset(),
    "REJECTED": frozenset(),
}


class Supplied(Struct, frozen=True):
    """Deliveries by outcome, their units, and the customers who had to come more than once."""

    deliveries: int
    outcomes: dict[str, int]
    not_terminal: int
    announced: int
    received: int
    short: int
    over: int
    damaged: int
    came_back: int
    came_back_in_vain: int

    @property
    def ended(self) -> int:
        """Deliveries that were put away or rejected."""
        return sum(self.outcomes.get(status, 0) for status in ("RECEIVED", "REJECTED"))


def count_supplied(deliveries: Sequence[Delivery], trips: Iterable[Trip]) -> Supplied:
    """Count; a delivery without a definite answer, or still under way, is not terminal."""
    restocks = [one.restock for one in deliveries if one.restock is not None]
    outcomes = Counter(str(restock.status) for restock in restocks)
    outcomes.update(f"refused: {one.refused}" for one in deliveries if one.refused is not None)
    outcomes.update("unanswered" for one in deliveries if one.unanswered is not None)
    lines = [line for restock in restocks for line in restock.items]
    again = [trip for trip in trips if trip.visits > 1]
    return Supplied(
        deliveries=len(deliveries),
        outcomes=dict(sorted(outcomes.items())),
        not_terminal=sum(not restock.terminal for restock in restocks) + outcomes["unanswered"],
        announced=sum(line.quantity for line in lines),
        received=sum(line.received for line in lines),
        short=sum(line.short for line in lines),
        over=sum(line.over for line in lines),
        damaged=sum(line.damaged for line in lines),
        came_back=len(again),
        came_back_in_vain=sum(trip.order_id is None for trip in again),
    )


def judge_restocks(told: Iterable[ToldRestock]) -> list[Violation]:
    """Return every broken promise: statuses are a path of the edge table, counts never decrease, a line adds up."""
    lives: dict[str, list[Restock]] = {}
    for one in told:
        lives.setdefault(one.restock.order_id, []).append(one.restock)
    broken = []
    for order_id, life in lives.items():
        for before, after in pairwise(life):
            if not _reachable(before.status, after.status):
                story = f"{before.status}, then {after.status}"
                broken.append(Violation("a delivery's statuses are a path of the edge table", order_id, story))
            broken += _shrunk(before, after)
        broken += [
            Violation("short and over are what received differs by", order_id, f"sku {line.sku}")
            for line in life[-1].items
            if line.received - line.over + line.short != line.quantity or line.damaged > line.received
        ]
    return broken


def _reachable(start: str, end: str) -> bool:
    return start == end or any(_reachable(after, end) for after in EDGES.get(start, ()))


def _shrunk(before: Restock, after: Restock) -> list[Violation]:
    """Counts are totals: they never decrease, and what was announced stays."""
    counts = {line.sku: line for line in after.items}
    return [
        Violation("counts of a delivery never decrease", after.order_id, f"sku {line.sku}")
        for line in before.items
        if (now := counts.get(line.sku)) is None
        or now.received < line.received
        or now.damaged < line.damaged
        or now.quantity != line.quantity
    ]
