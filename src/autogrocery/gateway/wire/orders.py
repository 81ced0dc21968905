"""The JSON of devices' requests about orders and of the responses, field for field (docs/CONTRACT.md#order-json)."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated
from uuid import UUID  # noqa: TC003

from msgspec import UNSET, Meta, Struct, UnsetType

from autogrocery.gateway.core.order import Cause, Dispatch, Order, Outcome, Robot, Status
from autogrocery.gateway.core.quote import MAX_QUANTITY

# No control character: peers refuse such a SKU with a status, which would be no clear answer (docs/CONTRACT.md#grpc).
Sku = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+(?!\n)$")]
Limit = Annotated[int, Meta(ge=1, le=100)]
Cursor = Annotated[str, Meta(max_length=200)]


class ItemIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A quantity of one product."""

    sku: Sku
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]


class PreviewIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A basket; `allow_partial`: take what there is."""

    items: Annotated[tuple[ItemIn, ...], Meta(min_length=1, max_length=100)]
    allow_partial: bool = False


class OrderIdIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Names one order."""

    order_id: UUID


class LineOut(Struct, frozen=True):
    """One line of an order; `requested` only where less was granted, `picked` null until known."""

    sku: str
    name: str
    quantity: int
    unit_price_cents: int
    line_total_cents: int
    picked: int | None
    requested: int | UnsetType = UNSET


class OrderOut(Struct, frozen=True):
    """An order, as its device sees it."""

    order_id: UUID
    status: Status
    currency: str
    total_cents: int
    quoted_total_cents: int
    items: tuple[LineOut, ...]
    expires_at: datetime
    created_at: datetime
    confirmed_at: datetime | None
    finished_at: datetime | None
    outcome: Outcome | None
    dispatch: Dispatch | None
    robots: tuple[Robot, ...] | None


class OrdersOut(Struct, frozen=True):
    """A page of orders, newest first; `next_cursor` null: the last page."""

    data: list[OrderOut]
    next_cursor: str | None


class EventOut(Struct, frozen=True, rename={"from_status": "from", "to_status": "to"}):
    """One status change."""

    version: int
    from_status: Status | None
    to_status: Status
    cause: Cause
    at: datetime


class EventsOut(Struct, frozen=True):
    """An order's history, oldest first."""

    data: list[EventOut]


class ProductOut(Struct, frozen=True):
    """A product with its price and what is available now; `available` null: inventory did not answer."""

    sku: str
    name: str
    aisle_type: str
    unit_price_cents: int
    available: int | None


class CatalogOut(Struct, frozen=True):
    """A page of the catalog; `next_cursor` null: the last page."""

    data: list[ProductOut]
    next_cursor: str | None


class AppliedOut(Struct, frozen=True):
    """The answer to a webhook: whether this delivery changed the order, and its status now."""

    applied: bool
    status: Status


class OrdersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which orders."""

    status: Status | None = None
    cursor: Cursor | None = None
    limit: Limit = 20


class CatalogQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which products: `q` is part of a name or SKU."""

    q: Annotated[str, Meta(max_length=100)] = ""
    cursor: Cursor = ""
    limit: Limit = 50


def order_out(order: Order) -> OrderOut:
    """Return the JSON of an order (docs/CONTRACT.md#order-json)."""
    return OrderOut(
        order.order_id,
        order.status,
        order.currency,
        order.total_cents,
        order.quoted_total_cents,
        tuple(
            LineOut(
                line.sku,
                line.name,
                line.quantity,
                line.unit_price_cents,
                line.total_cents,
                line.picked,
                UNSET if line.requested == line.quantity else line.requested,
            )
            for line in order.lines
        ),
        order.expires_at,
        order.created_at,
        order.confirmed_at,
        order.finished_at,
        order.outcome,
        order.dispatch,
        None if order.status is Status.CANCELLED else order.robots,
    )
