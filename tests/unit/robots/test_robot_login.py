"""What a robot's login does with an answer that leads elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.robots.core.robot import Account
from autogrocery.robots.peers.gateway import open_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def answering(response: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a server that answers every request alike; yield its URL and the requests that come."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.read(65_536))
        writer.write(response)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_password_does_not_follow_a_redirect(status: int) -> None:
    async with answering(OK) as (elsewhere, leaked):
        moved = f"HTTP/1.1 {status} Moved\r\nlocation: {elsewhere}/\r\ncontent-length: 0\r\n\r\n".encode()
        async with answering(moved) as (url, requests), open_gateway(url) as gateway:
            with pytest.raises(Unavailable):
                await gateway.log_in(Account("dairy-1", "dairy", "a password of a robot"))
    assert len(requests) == 1
    assert leaked == []
