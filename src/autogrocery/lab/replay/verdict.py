"""Was everything true that devices were told? The gateway's answers held against each other and against the edge table."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.client import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.client import Event as OrderEvent
    from autogrocery.client import Order
    from autogrocery.lab.replay.journal import Entry
    from autogrocery.lab.replay.replay import Trip, Witness

# The order's life as the protocol draws it; written down here once more on purpose: a judge must not ask the accused.
EDGES: Final[dict[str, frozenset[str]]] = {
    "PREVIEWED": frozenset({"PROCESSING", "CANCELLED", "EXPIRED", "FAILED"}),
    "PROCESSING": frozenset({"COMPLETED", "FAILED", "CANCELLED"}),
    "COMPLETED": frozenset(),
    "CANCELLED": frozenset(),
    "EXPIRED": frozenset(),
    "FAILED": frozenset(),
}
OK: Final = 200


class Violation(Struct, frozen=True):
    """One promise that was not kept, in words."""

    promise: str
    order_id: str
    told: str


def judge(entries: Iterable[Entry], trips: Iterable[Trip], witnesses: Iterable[Witness]) -> list[Violation]:
    """Return every broken promise: each 2xx must be true of what the gateway says once all is quiet."""
    told: dict[str, list[Entry]] = {}
    for entry in entries:
        told.setdefault(entry.order_id, []).append(entry)
    seen = {witness.order_id: witness for witness in witnesses}
    broken: list[Violation] = []
    for order_id, tellings in told.items():
        witness = seen.get(order_id)
        if witness is None or witness.order is None:
            broken.append(Violation("an order that was told exists", order_id, "the gateway does not tell it any more"))
            continue
        broken += _untrue_tellings(tellings, witness.order)
        broken += _wrong_sums(witness.order)
        broken += _wrong_history(witness.order, witness.events)
    for trip in trips:
        broken += _wrong_basket(trip)
    return broken


def reachable(start: str, end: str) -> bool:
    """True if the edge table has a path; a device that polls may miss the states in between."""
    return start == end or any(reachable(after, end) for after in EDGES.get(start, ()))


def _untrue_tellings(tellings: list[Entry], order: Order) -> list[Violation]:
    order_id = order.order_id
    broken = []
    polled = [entry.status for entry in tellings] + [order.status]
    for before, after in pairwise(polled):
        if not reachable(before, after):
            broken.append(
                Violation("polled statuses are a path of the edge table", order_id, f"{before}, then {after}")
            )
    for entry in tellings:
        if entry.status in TERMINAL and (entry.status, entry.total_cents) != (order.status, order.total_cents):
            after = f"{order.status} {order.total_cents}"
            broken.append(
                Violation("a terminal word stays", order_id, f"{entry.status} {entry.total_cents}, then {after}")
            )
        if entry.quoted_total_cents != order.quoted_total_cents:
            after = f"{entry.quoted_total_cents}, then {order.quoted_total_cents}"
            broken.append(Violation("the quoted price stays", order_id, after))
        if entry.status in ("PREVIEWED", "PROCESSING") and entry.lines_cents != entry.total_cents:
            after = f"lines {entry.lines_cents}, total {entry.total_cents}"
            broken.append(Violation("a total is the sum of its lines", order_id, after))
        if entry.step == "confirm" and entry.http_status == OK and order.status == "EXPIRED":
            broken.append(Violation("a confirmed order never expires", order_id, "confirmed with 200, then EXPIRED"))
    return broken


def _wrong_sums(order: Order) -> list[Violation]:
    """Check what is charged in the end: picked times price, nothing for a failure, never more than was quoted."""
    order_id = order.order_id
    broken = []
    for line in order.items:
        counted = line.quantity if line.picked is None else line.picked
        if line.line_total_cents != line.unit_price_cents * counted or counted > line.quantity:
            broken.append(Violation("a line costs price times picked", order_id, f"sku {line.sku}"))
    lines_cents = sum(line.line_total_cents for line in order.items)
    uncharged = order.total_cents == 0 and order.status in ("FAILED", "CANCELLED", "EXPIRED")
    if not uncharged and (order.total_cents != lines_cents or order.status == "FAILED"):
        told = f"{order.status} {order.total_cents}, lines {lines_cents}"
        broken.append(Violation("the total is what was picked", order_id, told))
    if order.total_cents > order.quoted_total_cents:
        broken.append(Violation("nobody pays more than was quoted", order_id, f"{order.total_cents}"))
    if order.outcome == "FULL" and order.total_cents != order.quoted_total_cents:
        broken.append(Violation("a full order costs what was quoted", order_id, f"{order.total_cents}"))
    return broken


def _wrong_history(order: Order, events: list[OrderEvent]) -> list[Violation]:
    order_id = order.order_id
    broken = []
    if not events or events[0].to_status != "PREVIEWED" or events[-1].to_status != order.status:
        ends = [event.to_status for event in events]
        broken.append(
            Violation("history leads from the preview to the status", order_id, f"{ends}, status {order.status}")
        )
    for before, after in pairwise(events):
        if after.version != before.version + 1:
            broken.append(Violation("history has no gap", order_id, f"version {before.version}, then {after.version}"))
        if after.from_status != before.to_status or after.to_status not in EDGES[before.to_status]:
            step = f"{before.to_status}, then {after.from_status} to {after.to_status}"
            broken.append(Violation("history follows the edge table", order_id, step))
    return broken


def _wrong_basket(trip: Trip) -> list[Violation]:
    """Check that the goods in the order are the goods in the basket."""
    if trip.order is None:
        return []
    asked: dict[str, int] = {}
    for line in trip.basket.lines:
        asked[line.sku] = asked.get(line.sku, 0) + line.quantity
    if asked == {line.sku: line.quantity for line in trip.order.items}:
        return []
    return [Violation("the order holds the basket's goods", trip.order.order_id, "other skus or quantities")]
