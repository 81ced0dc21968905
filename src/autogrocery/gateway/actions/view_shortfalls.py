"""View what ended orders and deliveries lack: analytics asks by the ids of metrics that it has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID  # noqa: TC003 - msgspec reads it from the Struct

from msgspec import Meta, Struct

from autogrocery.gateway.store import shortfalls
from autogrocery.gateway.store.shortfalls import DeliveredAisle, ShortLine  # noqa: TC001 - as above

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MAX_ORDERS = 200


class EndedOrdersIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of orders and restocks that have ended. Those that are unknown, or have not, are passed over."""

    order_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_ORDERS)]


class ShortfallsOut(Struct, frozen=True):
    """Lines of which less was picked than granted, and deliveries by aisle; without what suppliers ask."""

    short_lines: list[ShortLine]
    delivered: list[DeliveredAisle]


async def view_shortfalls(db: Db, query: EndedOrdersIn) -> ShortfallsOut:
    """Return the same for the same ids at any later time; raises Unavailable."""
    return ShortfallsOut(
        await shortfalls.list_short_lines(db, query.order_ids), await shortfalls.list_delivered(db, query.order_ids)
    )
