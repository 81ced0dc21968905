"""What an order must come to, judged from its row and from what the fake inventory has of it: the oracle of the order tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.gateway.core.order import Cause, Intent, Order, Status

if TYPE_CHECKING:
    from tests.harness.fake_peers import FakeInventory

State = inv.GetOrderResponse
TAKEN = frozenset({State.ASSIGNED, State.COMPLETED, State.FAILED})
SAW: dict[Status, frozenset[int]] = {
    Status.PREVIEWED: frozenset({State.HELD}),
    Status.PROCESSING: frozenset({State.ASSIGNED}),
    Status.COMPLETED: frozenset({State.COMPLETED}),
    Status.CANCELLED: frozenset({State.RELEASED}),
    Status.EXPIRED: frozenset({State.RELEASED}),
}


def end_of(order: Order, shelf: FakeInventory) -> Status:
    """Where the loops bring an order once every peer is well: by PROTOCOL §1 there is one such place.

    `shelf` is asked for what inventory has of the order now, before the loops do anything.
    """
    oid = str(order.order_id)
    state = shelf.state.get(oid, State.UNKNOWN)
    status, releases_as = order.status, order.release_as if order.releasing else None
    if status is Status.PREVIEWED and order.intent is None and order.overdue:
        releases_as = Status.EXPIRED
    if releases_as is not None:
        asked = releases_as is Status.CANCELLED and order.release_cause is Cause.CANCELLED
        withdrawn = asked and oid not in shelf.started
        if state not in TAKEN or (state == State.ASSIGNED and withdrawn):
            return releases_as
        status = Status.PROCESSING
    elif order.intent is Intent.DISPATCH:
        if state == State.RELEASED:
            return Status.FAILED
        status = Status.PROCESSING
    if status is Status.PROCESSING and state == State.RELEASED and order.release_as is Status.CANCELLED:
        return Status.CANCELLED
    if status is Status.PROCESSING:
        return {State.COMPLETED: Status.COMPLETED, State.FAILED: Status.FAILED}.get(state, Status.PROCESSING)
    return status


def quarrels(order: Order, shelf: FakeInventory) -> list[str]:
    """Return how an order that owes nothing contradicts what inventory has of it: nothing, if all is well."""
    oid = str(order.order_id)
    state = shelf.state.get(oid, State.UNKNOWN)
    seen = SAW.get(order.status) or frozenset({State.FAILED if order.dispatched_at else State.RELEASED})
    found = []
    if order.intent is not None:
        found.append(f"{order.intent} is still owed")
    if state not in seen:
        found.append(f"the row says {order.status}, inventory says {State.State.Name(state)}")
    if (shelf.dispatches[oid], state in TAKEN) not in {(1, True), (0, False)}:
        found.append(f"{shelf.dispatches[oid]} dispatches, and inventory says {State.State.Name(state)}")
    if state in TAKEN and {line.sku: line.quantity for line in order.lines} != shelf.items[oid]:
        found.append("the robots have another basket")
    if order.total_cents != (0 if order.status is Status.FAILED else sum(line.total_cents for line in order.lines)):
        found.append("the total is not the sum of the lines")
    return found


def strayed(shelf: FakeInventory, filled: dict[str, int]) -> dict[str, int]:
    """Return the units by SKU that are neither on the shelf nor with a living order, of the `filled` that came in."""
    left = dict(filled)
    for oid, state in shelf.state.items():
        if state != State.RELEASED:
            for sku, n in shelf.items[oid].items():
                left[sku] -= n
    return {sku: left[sku] - shelf.stock[sku] for sku in filled if left[sku] != shelf.stock[sku]}
