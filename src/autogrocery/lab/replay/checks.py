"""Check the gateway's responses against each other, against each order's end and against the edge table."""

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
    from autogrocery.lab.replay.replay import FinalOrder, Trip

# The edge table of docs/STATES.md, repeated on purpose: a check must not use the table of the code it checks.
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
    """A promise that was not kept, the order, and what was found instead."""

    promise: str
    order_id: str
    detail: str


def check_orders(
    entries: Iterable[Entry], trips: Iterable[Trip], final_orders: Iterable[FinalOrder]
) -> list[Violation]:
    """Return every violation: each 2xx response must agree with the order's state once the network is idle."""
    entries_by_order: dict[str, list[Entry]] = {}
    for entry in entries:
        entries_by_order.setdefault(entry.order_id, []).append(entry)
    final_by_id = {final_order.order_id: final_order for final_order in final_orders}
    violations: list[Violation] = []
    for order_id, order_entries in entries_by_order.items():
        final_order = final_by_id.get(order_id)
        if final_order is None or final_order.order is None:
            violations.append(
                Violation("an order that was returned exists", order_id, "the gateway does not return it any more")
            )
            continue
        violations += _contradicted_responses(order_entries, final_order.order)
        violations += _wrong_totals(final_order.order)
        violations += _wrong_history(final_order.order, final_order.events)
    for trip in trips:
        violations += _wrong_basket(trip)
    return violations


def reachable(start: str, end: str) -> bool:
    """Return whether the edge table has a path; a device that polls may miss the statuses in between."""
    return start == end or any(reachable(after, end) for after in EDGES.get(start, ()))


def _contradicted_responses(order_entries: list[Entry], order: Order) -> list[Violation]:
    order_id = order.order_id
    violations = []
    polled = [entry.status for entry in order_entries] + [order.status]
    for before, after in pairwise(polled):
        if not reachable(before, after):
            violations.append(
                Violation("polled statuses are a path of the edge table", order_id, f"{before}, then {after}")
            )
    for entry in order_entries:
        if entry.status in TERMINAL and (entry.status, entry.total_cents) != (order.status, order.total_cents):
            after = f"{order.status} {order.total_cents}"
            violations.append(
                Violation("a terminal status stays", order_id, f"{entry.status} {entry.total_cents}, then {after}")
            )
        if entry.quoted_total_cents != order.quoted_total_cents:
            after = f"{entry.quoted_total_cents}, then {order.quoted_total_cents}"
            violations.append(Violation("the quoted price stays", order_id, after))
        if entry.status in ("PREVIEWED", "PROCESSING") and entry.lines_cents != entry.total_cents:
            after = f"lines {entry.lines_cents}, total {entry.total_cents}"
            violations.append(Violation("a total is the sum of its lines", order_id, after))
        if entry.step == "confirm" and entry.http_status == OK and order.status == "EXPIRED":
            violations.append(
                Violation("a confirmed order never expires", order_id, "confirmed with 200, then EXPIRED")
            )
    return violations


def _wrong_totals(order: Order) -> list[Violation]:
    """Check the charged amounts: picked times price, 0 for a failed order, never more than was quoted."""
    order_id = order.order_id
    violations = []
    for line in order.items:
        counted = line.quantity if line.picked is None else line.picked
        if line.line_total_cents != line.unit_price_cents * counted or counted > line.quantity:
            violations.append(Violation("a line costs price times picked", order_id, f"sku {line.sku}"))
    lines_cents = sum(line.line_total_cents for line in order.items)
    uncharged = order.total_cents == 0 and order.status in ("FAILED", "CANCELLED", "EXPIRED")
    if not uncharged and (order.total_cents != lines_cents or order.status == "FAILED"):
        detail = f"{order.status} {order.total_cents}, lines {lines_cents}"
        violations.append(Violation("the total is what was picked", order_id, detail))
    if order.total_cents > order.quoted_total_cents:
        violations.append(Violation("an order costs no more than was quoted", order_id, f"{order.total_cents}"))
    if order.outcome == "FULL" and order.total_cents != order.quoted_total_cents:
        violations.append(Violation("a full order costs what was quoted", order_id, f"{order.total_cents}"))
    return violations


def _wrong_history(order: Order, events: list[OrderEvent]) -> list[Violation]:
    order_id = order.order_id
    violations = []
    if not events or events[0].to_status != "PREVIEWED" or events[-1].to_status != order.status:
        ends = [event.to_status for event in events]
        violations.append(
            Violation("history leads from the preview to the status", order_id, f"{ends}, status {order.status}")
        )
    for before, after in pairwise(events):
        if after.version != before.version + 1:
            violations.append(
                Violation("history has no gap", order_id, f"version {before.version}, then {after.version}")
            )
        if after.from_status != before.to_status or after.to_status not in EDGES[before.to_status]:
            step = f"{before.to_status}, then {after.from_status} to {after.to_status}"
            violations.append(Violation("history follows the edge table", order_id, step))
    return violations


def _wrong_basket(trip: Trip) -> list[Violation]:
    """Check that the order has the SKUs and quantities of the basket."""
    if trip.order is None:
        return []
    wanted: dict[str, int] = {}
    for line in trip.basket.lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    if wanted == {line.sku: line.quantity for line in trip.order.items}:
        return []
    return [Violation("the order has the basket's lines", trip.order.order_id, "other skus or quantities")]
