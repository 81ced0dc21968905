"""The oracle of the order tests: the expected state of an order, computed from its row and from the fake inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.gateway.core.order import Cause, Intent, Order, Status

if TYPE_CHECKING:
    from tests.harness.fake_peers import FakeInventory

State = inv.GetOrderResponse
DISPATCHED_STATES = frozenset({State.ASSIGNED, State.COMPLETED, State.FAILED})
EXPECTED_STATES: dict[Status, frozenset[int]] = {
    Status.PREVIEWED: frozenset({State.HELD}),
    Status.PROCESSING: frozenset({State.ASSIGNED}),
    Status.COMPLETED: frozenset({State.COMPLETED}),
    Status.CANCELLED: frozenset({State.RELEASED}),
    Status.EXPIRED: frozenset({State.RELEASED}),
}


def expected_status(order: Order, fake_inventory: FakeInventory) -> Status:
    """Return the one status that the loops bring an order to once its peers answer again (docs/PROTOCOL.md).

    Call it before the loops run: it reads inventory's present state of the order.
    """
    oid = str(order.order_id)
    state = fake_inventory.state.get(oid, State.UNKNOWN)
    status, releases_as = order.status, order.release_as if order.releasing else None
    if status is Status.PREVIEWED and order.intent is None and order.overdue:
        releases_as = Status.EXPIRED
    if releases_as is not None:
        is_cancel = releases_as is Status.CANCELLED and order.release_cause is Cause.CANCELLED
        withdrawn = is_cancel and oid not in fake_inventory.started
        if state not in DISPATCHED_STATES or (state == State.ASSIGNED and withdrawn):
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


def contradictions(order: Order, fake_inventory: FakeInventory) -> list[str]:
    """Return how a settled order's row contradicts inventory; empty if they agree."""
    oid = str(order.order_id)
    state = fake_inventory.state.get(oid, State.UNKNOWN)
    expected = EXPECTED_STATES.get(order.status) or frozenset({State.FAILED if order.dispatched_at else State.RELEASED})
    found = []
    if order.intent is not None:
        found.append(f"{order.intent} is still owed")
    if state not in expected:
        found.append(f"the row says {order.status}, inventory says {State.State.Name(state)}")
    if (fake_inventory.dispatches[oid], state in DISPATCHED_STATES) not in {(1, True), (0, False)}:
        found.append(f"{fake_inventory.dispatches[oid]} dispatches, and inventory says {State.State.Name(state)}")
    if state in DISPATCHED_STATES and {line.sku: line.quantity for line in order.lines} != fake_inventory.items[oid]:
        found.append("the dispatched items are not the order's lines")
    if order.total_cents != (0 if order.status is Status.FAILED else sum(line.total_cents for line in order.lines)):
        found.append("the total is not the sum of the lines")
    return found


def unaccounted_stock(fake_inventory: FakeInventory, filled: dict[str, int]) -> dict[str, int]:
    """Return by SKU how many of the `filled` units are neither in stock nor in an unreleased order; empty if none."""
    left = dict(filled)
    for oid, state in fake_inventory.state.items():
        if state != State.RELEASED:
            for sku, n in fake_inventory.items[oid].items():
                left[sku] -= n
    return {sku: left[sku] - fake_inventory.stock[sku] for sku in filled if left[sku] != fake_inventory.stock[sku]}
