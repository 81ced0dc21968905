"""Follow the figures of the status page: one server-sent event a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.contracts.ops.status import FIGURES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from autogrocery.contracts.ops.status import Figures
    from autogrocery.gateway.actions.ops.cached import OpsCaches

EVERY_S: Final = 1.0
MAX_STREAM_S: Final = 900.0  # then the stream ends, and the reader reconnects


async def follow_figures(view: Callable[[], Awaitable[Figures]], caches: OpsCaches) -> AsyncGenerator[bytes, None]:
    """Yield the figures every EVERY_S seconds, for at most MAX_STREAM_S seconds."""
    caches.streams += 1
    try:
        ends_at = asyncio.get_running_loop().time() + MAX_STREAM_S
        while asyncio.get_running_loop().time() < ends_at:
            yield b"event: %s\ndata: %s\n\n" % (FIGURES.encode(), msgspec.json.encode(await view()))
            await asyncio.sleep(EVERY_S)
    finally:
        caches.streams -= 1
