"""Bodies of the signed webhooks from inventory to the gateway; both ends use them. Unknown fields are refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID  # noqa: TC003

from msgspec import Meta, Struct

MAX_LINES = 1_000
Sku = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+\Z")]
Count = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Instant = Annotated[datetime, Meta(tz=True)]


class Picked(Struct, frozen=True, forbid_unknown_fields=True):
    """How many units of one line were picked."""

    sku: Sku
    picked: Count


class Robot(Struct, frozen=True, forbid_unknown_fields=True):
    """A robot and the assignment that it picked."""

    robot_id: Name
    robot_class: Annotated[str, Meta(pattern=r"^(bread|dairy|meat|produce|party)\Z")]
    assignment_id: Name


class UpdateOrder(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The final status of a dispatched order; without `items`, every line was picked in full."""

    order_id: UUID
    status: Literal["COMPLETED", "FAILED"]
    occurred_at: Instant
    items: Annotated[tuple[Picked, ...], Meta(max_length=MAX_LINES)] | None = None
    robots: Annotated[tuple[Robot, ...], Meta(max_length=MAX_LINES)] | None = None
    reason: Annotated[str, Meta(max_length=200)] | None = None


class Received(Struct, frozen=True, forbid_unknown_fields=True):
    """Totals so far of one line of a restock, which never decrease. `damaged` is part of `received`."""

    sku: Sku
    received: Count
    damaged: Count = 0


class UpdateRestock(Struct, frozen=True, forbid_unknown_fields=True):
    """The status of a restock, and the totals of its lines."""

    order_id: UUID
    status: Literal["RECEIVING", "RECEIVED", "REJECTED"]
    items: Annotated[tuple[Received, ...], Meta(max_length=MAX_LINES)]
    occurred_at: Instant
