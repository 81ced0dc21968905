"""GET /internal/ops/orders and /orders/{order_id}: rows of the search, and the bundle of one order."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Literal
from uuid import UUID  # noqa: TC003

from msgspec import Struct

from autogrocery.contracts.ops.attention import Diagnosis  # noqa: TC001


class OrderRow(Struct, frozen=True):
    """An order in a list. `cause` is that of its last status change, `attention` why a person should look."""

    order_id: UUID
    device_id: str
    status: str
    dispatch: str | None
    total_cents: int
    currency: str
    item_count: int
    created_at: datetime
    finished_at: datetime | None
    cause: str
    attention: str | None


class OrderRows(Struct, frozen=True):
    """A page, newest first. With a cursor there may be more, even if this page is short: a search reads in steps."""

    data: list[OrderRow]
    next_cursor: str | None


class BundleLine(Struct, frozen=True):
    """One line; `picked` None until known."""

    sku: str
    name: str
    requested: int
    quantity: int
    unit_price_cents: int
    picked: int | None


class BundleRobot(Struct, frozen=True):
    """A robot that got a part of the order."""

    robot_id: str
    robot_class: str
    assignment_id: str


class BundleChange(Struct, frozen=True):
    """One status change, with the number of its metric."""

    version: int
    from_status: str | None
    to_status: str
    cause: str
    at: datetime
    epoch: int
    sequence: int


class PeerCall(Struct, frozen=True):
    """One call to a peer about this order. `attempt` counts calls of that method after a failure, from 1.

    `source`: memory of the answering gateway, which holds its last calls, or stored (failed, retried or slow calls).
    """

    peer: str
    method: str
    at: datetime
    ms: float
    outcome: str
    attempt: int
    source: Literal["memory", "stored"]


class InboxDelivery(Struct, frozen=True):
    """A webhook that was taken in."""

    webhook_id: str
    received_at: datetime


class OutboxDelivery(Struct, frozen=True):
    """A receipt or an alert on its way; the address is not told."""

    event: str
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    done_at: datetime | None
    dead_at: datetime | None
    last_error: str | None


class Assignment(Struct, frozen=True):
    """A part of the order at a robot, as inventory sees it.

    `robot_id` has or had its lease, else was chosen for it. `lease_until` None: no robot has started it.
    `state`: OPEN, STARTED, PICKED, SHORT, FAILED or WITHDRAWN.
    """

    assignment_id: str
    robot_id: str
    robot_class: str
    state: str
    assigned_at: datetime
    lease_until: datetime | None
    closed_at: datetime | None


class Lot(Struct, frozen=True):
    """From which lot picked units of a line came; `expiry_at` None: it never expires."""

    sku: str
    lot_id: str
    quantity: int
    expiry_at: datetime | None


class SentWebhook(Struct, frozen=True):
    """A webhook about the order that inventory sends, and its attempts. `next_attempt_at` None: done or dead."""

    webhook_id: str
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    done_at: datetime | None
    dead_at: datetime | None
    last_error: str | None


class InventoryView(Struct, frozen=True):
    """What inventory says. `state` None: it gave no clear answer, and `untold` says why.

    `untold` may also say why assignments, lots and webhooks are missing although the state is known.
    """

    state: str | None
    picked: dict[str, int]
    assignments: list[Assignment]
    lots: list[Lot]
    webhooks: list[SentWebhook]
    untold: str | None


class OrderBundle(Struct, frozen=True):
    """One order whole, to hand to support: no address, telephone number, password or token is in it."""

    at: datetime
    order: OrderRow
    version: int
    intent: str | None
    intent_at: datetime | None
    attempts: int
    quoted_total_cents: int
    outcome: str | None
    expires_at: datetime
    confirmed_at: datetime | None
    dispatched_at: datetime | None
    due_at: datetime | None
    lines: list[BundleLine]
    robots: list[BundleRobot]
    history: list[BundleChange]
    calls: list[PeerCall]
    webhooks: list[InboxDelivery]
    receipt: OutboxDelivery | None
    alerts: list[OutboxDelivery]
    inventory: InventoryView
    diagnosis: Diagnosis
