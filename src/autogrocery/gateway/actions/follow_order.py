"""Follow an order: stream its status changes as server-sent events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from autogrocery.gateway.actions.view_orders import view_events
from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

POLL_S = 0.5
HEARTBEAT_POLLS = 20  # polls without an event, after which a comment keeps the connection alive
MAX_STREAM_S = 900.0  # then the stream ends, and the client reconnects with Last-Event-ID


async def follow_order(db: Db, user_id: int, order_id: UUID, after: int = 0) -> AsyncGenerator[bytes, None]:
    """Yield one server-sent event for each status change, with its version as id, until the order has ended.

    Raises NotFound(order_not_found) before the first. While the database is unavailable the stream waits.
    """
    quiet = 0
    ends_at = asyncio.get_running_loop().time() + MAX_STREAM_S
    while asyncio.get_running_loop().time() < ends_at:
        try:
            page = await view_events(db, user_id, order_id, after)
            events, ended = page.events.data, page.ended
        except Unavailable:
            events, ended = [], False
        for event in events:
            after = event.version
            yield b"id: %d\nevent: status\ndata: %s\n\n" % (after, msgspec.json.encode(event))
        if ended:
            return
        quiet = 0 if events else quiet + 1
        if quiet and quiet % HEARTBEAT_POLLS == 0:
            yield b": still here\n\n"
        await asyncio.sleep(POLL_S)
