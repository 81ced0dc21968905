"""A publisher of metrics."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio

from autogrocery.contracts.analytics.metric import OrderMetric, encode
from autogrocery.lab.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Publisher:
    """An XPUB socket: it can wait for a subscriber, so that only those messages are lost that a test leaves out."""

    def __init__(self, socket: zmq.asyncio.Socket, address: str) -> None:
        self._socket = socket
        self.address = address

    async def subscribed(self) -> None:
        async with asyncio.timeout(10.0):
            assert (await self._socket.recv())[:1] == b"\x01"

    async def unsubscribed(self) -> None:
        async with asyncio.timeout(10.0):
            assert (await self._socket.recv())[:1] == b"\x00"

    async def send(self, *metrics: OrderMetric) -> None:
        for one in metrics:
            await self._socket.send(encode(one))

    async def send_raw(self, *frames: bytes) -> None:
        await self._socket.send_multipart(frames)


@asynccontextmanager
async def publishing() -> AsyncIterator[Publisher]:
    """Bind a publisher to a free port."""
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.LINGER, 0)
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    socket.bind(address)
    yield Publisher(socket, address)
    socket.close()
    context.term()
