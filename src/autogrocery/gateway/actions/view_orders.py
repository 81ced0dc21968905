"""What a device may see of its orders: one, the last, a page, the history."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.gateway.actions.confirm import not_found
from autogrocery.gateway.core.wire import EventOut, EventsOut, OrderOut, OrdersOut, order_out
from autogrocery.gateway.store import orders
from autogrocery.kit.clock import rfc3339
from autogrocery.kit.refusals import Flaw, Invalid

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.core.wire import OrdersQuery
    from autogrocery.kit.pg import Db


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
    """Return a page of the device's orders, newest first; raises Invalid(invalid_request) on a cursor we never gave out."""
    before = _read(query.cursor) if query.cursor else None
    found = await orders.list_of_device(db, user_id, status=query.status, before=before, limit=query.limit + 1)
    page = found[: query.limit]
    return OrdersOut([order_out(order) for order in page], _cursor(page[-1]) if len(found) > query.limit else None)


async def view_events(db: Db, user_id: int, order_id: UUID, after: int = 0) -> EventsOut:
    """Return the order's history after version `after`; raises NotFound(order_not_found)."""
    if await orders.get_of_device(db, order_id, user_id) is None:
        raise not_found()
    events = await orders.list_events(db, order_id, after)
    return EventsOut([EventOut(e.version, e.from_status, e.to_status, e.cause, e.at) for e in events])


def _cursor(last: Order) -> str:
    return base64.urlsafe_b64encode(f"{rfc3339(last.created_at)} {last.order_id}".encode()).decode()


def _read(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, order_id = base64.b64decode(cursor.encode(), b"-_", validate=True).decode().split(" ")
        return datetime.fromisoformat(at), UUID(order_id)
    except (ValueError, binascii.Error):
        flaw = Flaw(pointer="/cursor", detail="take the next_cursor of the page before")
        raise Invalid("invalid_request", "the cursor is not one of ours", errors=(flaw,)) from None
