"""Follow an order: its history as it happens, for a screen that waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from autogrocery.gateway.actions.view_orders import view_events
from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

POLL_S = 0.5
BEAT_EVERY = 20  # polls without news, after which a comment keeps the connection alive
LONGEST_S = 900.0  # then the stream ends, and the client asks again with Last-Event-ID


async def follow_order(db: Db, user_id: int, order_id: UUID, after: int = 0) -> AsyncIterator[bytes]:
    """Yield server-sent events, one a status change with its version as id, until the order has ended.

    Raises NotFound(order_not_found) before the first. While the database is away the stream waits.
    """
    quiet = 0
    ends_at = asyncio.get_running_loop().time() + LONGEST_S
    while asyncio.get_running_loop().time() < ends_at:
        try:
            history, ended = await view_events(db, user_id, order_id, after)
            news = history.data
        except Unavailable:
            news, ended = [], False
        for event in news:
            after = event.version
            yield b"id: %d\nevent: status\ndata: %s\n\n" % (after, msgspec.json.encode(event))
        if ended:
            return
        quiet = 0 if news else quiet + 1
        if quiet and quiet % BEAT_EVERY == 0:
            yield b": still here\n\n"
        await asyncio.sleep(POLL_S)
