"""One order: its statuses, the facts that move it between them, and what a confirm or a cancel does in each. Pure."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from datetime import datetime  # noqa: TC003
from enum import StrEnum
from typing import Final
from uuid import UUID  # noqa: TC003

from msgspec import Struct

from autogrocery.kit.errors import Conflict, FieldError, Gone, Invalid, NotFound


class Status(StrEnum):
    """The seed's three statuses, and three ways to end without being completed; the last four are terminal."""

    PREVIEWED = "PREVIEWED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


class Fact(StrEnum):
    """What moves an order: an answer of inventory, never a conclusion from an error."""

    DISPATCHED = "dispatched"
    PICKED = "picked"
    NOTHING_PICKED = "nothing picked"
    RELEASED_ON_CANCEL = "released on cancel"
    RELEASED_ON_EXPIRY = "released on expiry"
    RELEASED_UNSERVED = "released unserved"


class Intent(StrEnum):
    """The one call that is still owed to inventory."""

    DISPATCH = "DISPATCH"
    RELEASE = "RELEASE"


# Every status change there is. `compute_result` reads it; docs/STATES.md is generated from it. The edge table and the
# trigger of migration 0002, the guards of store/transitions.py and store/writes.py, and the decisions below repeat
# it: tests/unit/gateway/test_order_edges.py compares each of them with it.
EDGES: Final = {
    (Status.PREVIEWED, Fact.DISPATCHED): Status.PROCESSING,
    (Status.PREVIEWED, Fact.RELEASED_ON_CANCEL): Status.CANCELLED,
    (Status.PREVIEWED, Fact.RELEASED_ON_EXPIRY): Status.EXPIRED,
    (Status.PREVIEWED, Fact.RELEASED_UNSERVED): Status.FAILED,
    (Status.PROCESSING, Fact.PICKED): Status.COMPLETED,
    (Status.PROCESSING, Fact.NOTHING_PICKED): Status.FAILED,
    (Status.PROCESSING, Fact.RELEASED_ON_CANCEL): Status.CANCELLED,
}
TERMINAL: Final = frozenset(Status) - {start for start, _ in EDGES}


class Outcome(StrEnum):
    """Whether a COMPLETED order was picked whole."""

    FULL = "FULL"
    PARTIAL = "PARTIAL"


class Dispatch(StrEnum):
    """What the order's device sees of the robots."""

    IN_DOUBT = "in_doubt"
    RELEASING = "releasing"
    DISPATCHED = "dispatched"


def dispatch_of(status: str, intent: str | None, *, dispatched: bool) -> Dispatch | None:
    """Return what a device sees of the robots of an order that was `dispatched` once, or was not."""
    if intent == Intent.RELEASE:
        return Dispatch.RELEASING
    if intent == Intent.DISPATCH:
        return Dispatch.IN_DOUBT
    if status in {Status.PROCESSING, Status.COMPLETED} or (status == Status.FAILED and dispatched):
        return Dispatch.DISPATCHED
    return None


class Cause(StrEnum):
    """Why a status changed, in the history."""

    PREVIEWED = "previewed"
    DISPATCHED = "dispatched"
    PICKED = "picked"
    NOTHING_PICKED = "nothing_picked"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    HOLD_EXPIRED = "hold_expired"
    NO_ROBOTS = "no_robots"
    DISPATCH_TIMED_OUT = "patience_over"


class Line(Struct, frozen=True):
    """One SKU of an order. `quantity` is what was granted of `requested`; `picked` is None until known."""

    sku: str
    name: str
    quantity: int
    requested: int
    unit_price_cents: int
    picked: int | None = None

    @property
    def total_cents(self) -> int:
        """Unit price times (picked if known, else granted)."""
        return self.unit_price_cents * (self.quantity if self.picked is None else self.picked)


class Robot(Struct, frozen=True):
    """A robot that picks a part of the order."""

    robot_id: str
    robot_class: str
    assignment_id: str


class Order(Struct, frozen=True):
    """A row of grocery_orders with its lines.

    `overdue`: `expires_at` had passed by the database's clock when the row was read.
    """

    order_id: UUID
    user_id: int
    status: Status
    version: int
    currency: str
    quoted_total_cents: int
    total_cents: int
    lines: tuple[Line, ...]
    created_at: datetime
    expires_at: datetime
    overdue: bool = False
    intent: Intent | None = None
    release_as: Status | None = None
    release_cause: Cause | None = None
    robots: tuple[Robot, ...] | None = None
    outcome: Outcome | None = None
    confirmed_at: datetime | None = None
    dispatched_at: datetime | None = None
    finished_at: datetime | None = None
    request_sha256: bytes | None = None

    @property
    def releasing(self) -> bool:
        """Return whether a release is owed to inventory."""
        return self.intent is Intent.RELEASE

    @property
    def dispatch(self) -> Dispatch | None:
        """Return what the order's device sees of the robots."""
        return dispatch_of(self.status, self.intent, dispatched=self.dispatched_at is not None)


class WebhookDelivery(Struct, frozen=True):
    """One delivery of a webhook, as the inbox stores it: a repeat has the same id and the same body."""

    webhook_id: str
    body_sha256: bytes


class Due(Struct, frozen=True):
    """An order or a restock that a loop has claimed, and for how many seconds its intent has been owed."""

    order_id: UUID
    owed_s: float


class Decision(StrEnum):
    """What a confirm or a cancel does with an order (docs/CONTRACT.md#confirm-and-cancel)."""

    ACT = "act"  # call inventory
    DONE = "done"  # 200
    WAIT = "wait"  # 202


def on_confirm(order: Order) -> Decision:
    """Decide a confirm; raises Conflict(order_cancelled, no_robots) or Gone(hold_expired)."""
    match order.status:
        case Status.PREVIEWED if order.releasing:
            if order.release_as is Status.FAILED:
                return Decision.WAIT
            raise _ended(order.release_as)
        case Status.PREVIEWED if order.overdue and order.intent is None:
            raise _ended(Status.EXPIRED)
        case Status.PREVIEWED:
            return Decision.ACT
        case Status.PROCESSING | Status.COMPLETED:
            return Decision.DONE
        case Status.FAILED if order.dispatched_at:
            return Decision.DONE
        case _:
            raise _ended(order.status)


def on_cancel(order: Order) -> Decision:
    """Decide a cancel; raises Conflict(too_late_to_cancel) or Gone(hold_expired)."""
    match order.status:
        case Status.PREVIEWED | Status.PROCESSING if order.releasing:
            return Decision.WAIT
        case Status.PREVIEWED if order.overdue and order.intent is None:
            raise _ended(Status.EXPIRED)
        case Status.PREVIEWED | Status.PROCESSING:
            return Decision.ACT
        case Status.CANCELLED:
            return Decision.DONE
        case Status.EXPIRED:
            raise _ended(Status.EXPIRED)
        case _:
            raise too_late()


def not_found() -> NotFound:
    """Return the error for a missing order, and for one of another device: both get the same answer."""
    return NotFound("order_not_found", "this device has no such order")


def too_late() -> Conflict:
    """Return the error for a cancel that comes after robots have started."""
    return Conflict("too_late_to_cancel", "the robots have this order already")


def _ended(status: Status | None) -> Conflict | Gone:
    if status is Status.CANCELLED:
        return Conflict("order_cancelled", "this order was cancelled")
    if status is Status.EXPIRED:
        return Gone("hold_expired", "the quote has expired: preview again")
    return Conflict("no_robots", "no robots can pick this order")


class OrderResult(Struct, frozen=True):
    """How a finished order ends: its status, what was picked short, and what is charged."""

    status: Status
    short: tuple[tuple[int, int], ...]  # (line_no, picked), only where less was picked than granted
    total_cents: int
    outcome: Outcome | None


def compute_result(order: Order, fact: Fact, picked: Mapping[str, int] | None) -> OrderResult:
    """Return how the order ends by `fact` (PICKED or NOTHING_PICKED); `picked` counts by SKU, None means everything.

    A line that `picked` does not name was not picked. Raises Invalid if more was picked than granted, or another SKU.
    """
    status = EDGES[Status.PROCESSING, fact]
    if status is Status.FAILED:
        return OrderResult(status, (), 0, None)
    granted = {line.sku: line.quantity for line in order.lines}
    counts = granted if picked is None else {sku: picked.get(sku, 0) for sku in granted}
    if picked and (picked.keys() - granted.keys() or any(not 0 <= counts[sku] <= granted[sku] for sku in granted)):
        flaw = FieldError(pointer="/items", detail="what was picked is not among what was ordered")
        raise Invalid("invalid_request", "the counts do not fit the order", errors=(flaw,))
    short = tuple(
        (number, counts[line.sku]) for number, line in enumerate(order.lines, 1) if counts[line.sku] < line.quantity
    )
    total_cents = sum(line.unit_price_cents * counts[line.sku] for line in order.lines)
    return OrderResult(status, short, total_cents, Outcome.PARTIAL if short else Outcome.FULL)
