"""Find orders of every device: by status, device, product, cause, time, or the start of an id or a device's name."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from autogrocery.contracts.ops.orders import OrderRows
from autogrocery.gateway.core.order import TERMINAL
from autogrocery.gateway.store.ops import orders
from autogrocery.gateway.store.ops.orders import Search
from autogrocery.gateway.store.orders import PagePosition
from autogrocery.gateway.wire.ops import order_row
from autogrocery.kit.errors import FieldError, Invalid
from autogrocery.kit.process.clock import rfc3339

if TYPE_CHECKING:
    from autogrocery.gateway.wire.ops import OrdersSearch
    from autogrocery.kit.pg.db import Db

FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)
MAX_ID: Final = UUID(int=(1 << 128) - 1)
MIN_PREFIX: Final = 8  # hex digits: the orders of about a minute share as many
HEX_DIGITS: Final = 32


async def find_orders(db: Db, query: OrdersSearch) -> OrderRows:
    """Return a page, newest first.

    One call reads at most 5,000 orders, so that a page may be short or empty although there is a next one. Raises
    Invalid(invalid_request) for a cursor of another search and for impossible bounds, and Unavailable.
    """
    since, until = query.since or FIRST, query.until or LAST
    if not FIRST <= since < until <= LAST:
        raise _invalid("/since", "since is before until, and both are years from 2000 to 9000")
    before = _parse_cursor(query) if query.cursor else PagePosition(LAST, MAX_ID)
    flagged = query.attention == "true"
    wanted = Search(
        before,
        since,
        until,
        query.limit + 1,
        status=query.status,
        cause=query.cause,
        sku=query.sku,
        attention=flagged,
        living=flagged or (query.status is not None and query.status not in TERMINAL),
    )
    if query.device is not None:
        wanted = msgspec.structs.replace(wanted, user_ids=await orders.find_device(db, query.device))
    if query.q is not None:
        wanted = await _with_text(db, wanted, query.q)
    if wanted.user_ids == ():
        return OrderRows([], None)
    found = await orders.search(db, wanted)
    page = found.rows[: query.limit]
    following = PagePosition(page[-1].created_at, page[-1].order_id) if len(found.rows) > query.limit else found.stopped
    return OrderRows([order_row(one) for one in page], _make_cursor(query, following) if following else None)


async def _with_text(db: Db, wanted: Search, text: str) -> Search:
    """Narrow a search to an id's beginning, else to the devices whose names begin so."""
    devices = await orders.find_devices(db, text)
    digits = text.replace("-", "").lower()
    if not devices and re.fullmatch(rf"[0-9a-f]{{{MIN_PREFIX},{HEX_DIGITS}}}", digits):
        between = (UUID(digits.ljust(HEX_DIGITS, "0")), UUID(digits.ljust(HEX_DIGITS, "f")))
        return msgspec.structs.replace(wanted, between=between)
    if wanted.user_ids is not None:
        devices = tuple(set(devices) & set(wanted.user_ids))
    return msgspec.structs.replace(wanted, user_ids=devices)


def _digest(query: OrdersSearch) -> str:
    """Return what tells one search from another, whatever the page and its size."""
    filters = msgspec.structs.replace(query, cursor=None, limit=1)
    return hashlib.sha256(msgspec.json.encode(filters)).hexdigest()[:12]


def _make_cursor(query: OrdersSearch, position: PagePosition) -> str:
    at, order_id = position
    return base64.urlsafe_b64encode(f"{rfc3339(at)} {order_id} {_digest(query)}".encode()).decode()


def _parse_cursor(query: OrdersSearch) -> PagePosition:
    cursor = query.cursor or ""
    try:
        at, order_id, _ = base64.b64decode(cursor.encode(), b"-_", validate=True).decode().split(" ")
        found = PagePosition(datetime.fromisoformat(at), UUID(order_id))
        if _make_cursor(query, found) == cursor:  # also of the same search, in the one spelling
            return found
    except (ValueError, OverflowError):
        pass
    raise _invalid("/cursor", "take the next_cursor of the page before, with the same filters")


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(
        "invalid_request", "the search is not possible", errors=(FieldError(pointer=pointer, detail=detail),)
    )
