"""The query parameters of operators' reads, and the JSON of orders in them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from autogrocery.contracts.ops.orders import OrderRow
from autogrocery.gateway.core.order import Cause, Status, dispatch_of
from autogrocery.gateway.wire.orders import Sku  # noqa: TC001

if TYPE_CHECKING:
    from autogrocery.gateway.store.ops.orders import FoundOrder

Limit = Annotated[int, Meta(ge=1, le=200)]
Cursor = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+(?!\n)$")]
Instant = Annotated[datetime, Meta(tz=True)]


class OrdersSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which orders: `q` begins an order's id (8 hex digits or more) or a device's name.

    `since` and `until` bound when the order was made; `cause` is that of its last change.
    """

    status: Status | None = None
    device: Name | None = None
    sku: Sku | None = None
    cause: Cause | None = None
    since: Instant | None = None
    until: Instant | None = None
    attention: bool = False
    q: Name | None = None
    cursor: Cursor | None = None
    limit: Limit = 50


class AttentionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many items of each kind."""

    limit: Limit = 50


def order_row(found: FoundOrder) -> OrderRow:
    """Return the JSON of an order in a list."""
    return OrderRow(
        found.order_id,
        found.device_id,
        found.status,
        dispatch_of(found.status, found.intent, dispatched=found.dispatched_at is not None),
        found.total_cents,
        found.currency,
        found.item_count,
        found.created_at,
        found.finished_at,
        found.cause,
        found.attention,
    )
