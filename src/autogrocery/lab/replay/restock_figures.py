"""Figures of the deliveries by trucks, and the check of every response about them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.replay.checks import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autogrocery.client import Restock, RestockResponse
    from autogrocery.lab.replay.replay import Trip
    from autogrocery.lab.replay.trucks import TruckDelivery

# The statuses of a delivery, repeated on purpose: a check must not use the table of the code it checks.
EDGES: Final[dict[str, frozenset[str]]] = {
    "ANNOUNCED": frozenset({"RECEIVING", "REJECTED"}),
    "RECEIVING": frozenset({"RECEIVED", "REJECTED"}),
    "RECEIVED": frozenset(),
    "REJECTED": frozenset(),
}


class RestockFigures(Struct, frozen=True):
    """Deliveries by outcome, their units, and the customers who had to return for goods."""

    deliveries: int
    outcomes: dict[str, int]
    not_terminal: int
    announced: int
    received: int
    short: int
    over: int
    damaged: int
    returning_customers: int
    returning_in_vain: int

    @property
    def ended(self) -> int:
        """Deliveries that were received or rejected."""
        return sum(self.outcomes.get(status, 0) for status in ("RECEIVED", "REJECTED"))


def count_restocks(deliveries: Sequence[TruckDelivery], trips: Iterable[Trip]) -> RestockFigures:
    """Count the deliveries; one without a definite answer or still in progress is not terminal."""
    restocks = [one.restock for one in deliveries if one.restock is not None]
    outcomes = Counter(str(restock.status) for restock in restocks)
    outcomes.update(f"refused: {one.refused}" for one in deliveries if one.refused is not None)
    outcomes.update("unanswered" for one in deliveries if one.unanswered is not None)
    lines = [line for restock in restocks for line in restock.items]
    returned = [trip for trip in trips if trip.visits > 1]
    return RestockFigures(
        deliveries=len(deliveries),
        outcomes=dict(sorted(outcomes.items())),
        not_terminal=sum(not restock.terminal for restock in restocks) + outcomes["unanswered"],
        announced=sum(line.quantity for line in lines),
        received=sum(line.received for line in lines),
        short=sum(line.short for line in lines),
        over=sum(line.over for line in lines),
        damaged=sum(line.damaged for line in lines),
        returning_customers=len(returned),
        returning_in_vain=sum(trip.order_id is None for trip in returned),
    )


def check_restocks(responses: Iterable[RestockResponse]) -> list[Violation]:
    """Return every violation: statuses follow the edge table, counts never decrease, each line adds up."""
    by_order: dict[str, list[Restock]] = {}
    for one in responses:
        by_order.setdefault(one.restock.order_id, []).append(one.restock)
    violations = []
    for order_id, states in by_order.items():
        for before, after in pairwise(states):
            if not _reachable(before.status, after.status):
                statuses = f"{before.status}, then {after.status}"
                violations.append(Violation("a delivery's statuses are a path of the edge table", order_id, statuses))
            violations += _decreased(before, after)
        violations += [
            Violation("short and over are what received differs by", order_id, f"sku {line.sku}")
            for line in states[-1].items
            if line.received - line.over + line.short != line.quantity or line.damaged > line.received
        ]
    return violations


def _reachable(start: str, end: str) -> bool:
    return start == end or any(_reachable(after, end) for after in EDGES.get(start, ()))


def _decreased(before: Restock, after: Restock) -> list[Violation]:
    """Check that counts, which are totals, never decrease and announced quantities stay."""
    counts = {line.sku: line for line in after.items}
    return [
        Violation("counts of a delivery never decrease", after.order_id, f"sku {line.sku}")
        for line in before.items
        if (now := counts.get(line.sku)) is None
        or now.received < line.received
        or now.damaged < line.damaged
        or now.quantity != line.quantity
    ]
