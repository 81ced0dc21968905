"""A shell command that restarts something which lives in this process, for `conformance --restart-command`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@asynccontextmanager
async def restart_command(restart: Callable[[], Awaitable[None]]) -> AsyncIterator[str]:
    """Yield a command that makes this process call `restart`, and that returns once it is done."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await restart()
        writer.write(b"done\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo >&3 && read -r answer <&3'"
    finally:
        server.close()
