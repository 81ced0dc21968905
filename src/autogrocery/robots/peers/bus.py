"""Announcements of work on ZeroMQ. They only wake: a lost one costs a second, for robots also ask."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio

from autogrocery.kit.bus import open_subscriber
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from autogrocery.kit.security.curve import SubscriberKeys

FRAMES = 2  # [robot_class, payload]


class Announcements:
    """A subscription to the classes of this fleet."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self._socket = socket

    async def next_class(self) -> str | None:
        """Wait for an announcement and return the class it calls; None for what is none."""
        frames = await self._socket.recv_multipart()
        if len(frames) != FRAMES or len(frames[0]) > 32:  # noqa: PLR2004 - longer than any class
            return None
        return frames[0].decode("ascii", "replace")


@asynccontextmanager
async def open_announcements(
    addresses: Sequence[str], classes: Collection[str], keys: SubscriberKeys | None = None
) -> AsyncIterator[Announcements]:
    """Subscribe to `classes` at `addresses`; it reconnects by itself. Raises StartError for what is no address."""
    async with AsyncExitStack() as stack:
        topics = [name.encode() for name in sorted(classes)]
        try:
            socket = await stack.enter_async_context(open_subscriber(addresses, topics=topics, keys=keys))
        except zmq.ZMQError as error:
            raise StartError(f"ROBOTS_ZMQ_TARGET or ROBOTS_ZMQ_ADDR can't be connected to: {error.strerror}") from None
        yield Announcements(socket)
