"""Read a device's orders: one, the last, a page, one order's history."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct

from autogrocery.gateway.core.order import TERMINAL, not_found
from autogrocery.gateway.store import orders
from autogrocery.gateway.store.orders import PagePosition
from autogrocery.gateway.wire.orders import EventOut, EventsOut, OrderOut, OrdersOut, order_out
from autogrocery.kit.errors import FieldError, Invalid
from autogrocery.kit.process.clock import rfc3339

if TYPE_CHECKING:
    from autogrocery.gateway.wire.orders import OrdersQuery
    from autogrocery.kit.pg.db import Db


class HistoryPage(Struct, frozen=True):
    """Some of an order's history; `ended`: the order is terminal, so no more will follow."""

    events: EventsOut
    ended: bool


async def view_order(db: Db, user_id: int, order_id: UUID) -> OrderOut:
    """Return the device's order; raises NotFound(order_not_found)."""
    order = await orders.get_of_device(db, order_id, user_id)
    if order is None:
        raise not_found()
    return order_out(order)


async def view_last_order(db: Db, user_id: int) -> OrderOut:
    """Return the device's newest order; raises NotFound(order_not_found)."""
    newest = await orders.list_of_device(db, user_id, status=None, before=None, limit=1)
    if not newest:
        raise not_found()
    return order_out(newest[0])


async def view_orders(db: Db, user_id: int, query: OrdersQuery) -> OrdersOut:
    """Return a page of the device's orders, newest first; raises Invalid(invalid_request) on a foreign cursor."""
    before = _parse_cursor(query.cursor) if query.cursor else None
    found = await orders.list_of_device(db, user_id, status=query.status, before=before, limit=query.limit + 1)
    page = found[: query.limit]
    following = _make_cursor(page[-1].created_at, page[-1].order_id) if len(found) > query.limit else None
    return OrdersOut([order_out(order) for order in page], following)


async def view_events(db: Db, user_id: int, order_id: UUID, after: int = 0) -> HistoryPage:
    """Return the order's history after version `after`; raises NotFound(order_not_found)."""
    order = await orders.get_of_device(db, order_id, user_id)  # before its events: an end seen here is among them
    if order is None:
        raise not_found()
    events = await orders.list_events(db, order_id, after)
    return HistoryPage(
        EventsOut([EventOut(e.version, e.from_status, e.to_status, e.cause, e.at) for e in events]),
        ended=order.status in TERMINAL,
    )


def _make_cursor(at: datetime, order_id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{rfc3339(at)} {order_id}".encode()).decode()


def _parse_cursor(cursor: str) -> PagePosition:
    try:
        at, order_id = base64.b64decode(cursor.encode(), b"-_", validate=True).decode().split(" ")
        found = PagePosition(datetime.fromisoformat(at), UUID(order_id))
        if _make_cursor(*found) == cursor:  # another spelling may name an instant that the database can't hold
            return found
    except (ValueError, OverflowError):
        pass
    flaw = FieldError(pointer="/cursor", detail="take the next_cursor of the page before")
    raise Invalid("invalid_request", "the cursor is not one of ours", errors=(flaw,))
