"""An aiohttp application on a port of loopback."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHUTDOWN_S = 60.0  # aiohttp's own


@asynccontextmanager
async def serving_web(app: web.Application, port: int = 0, *, shutdown_s: float = SHUTDOWN_S) -> AsyncIterator[int]:
    """Serve `app` while the context lasts; yields the port (0 takes a free one)."""
    runner = web.AppRunner(app, shutdown_timeout=shutdown_s)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
