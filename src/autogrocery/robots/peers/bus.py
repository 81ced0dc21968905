"""Announcements of work on ZeroMQ. A lost one only costs time: robots also list work at an interval."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from autogrocery.kit.bus import open_subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    import zmq.asyncio

    from autogrocery.kit.security.curve import SubscriberKeys

SETTING = "ROBOTS_ZMQ_TARGET or ROBOTS_ZMQ_ADDR"
FRAMES = 2  # [robot_class, payload]


class Announcements:
    """A subscription to the announcements for the robot classes of this fleet."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self._socket = socket

    async def next_class(self) -> str | None:
        """Wait for a message and return the robot class it announces work for; None if it is malformed."""
        frames = await self._socket.recv_multipart()
        if len(frames) != FRAMES or len(frames[0]) > 32:  # noqa: PLR2004 - longer than any class name
            return None
        return frames[0].decode("ascii", "replace")


@asynccontextmanager
async def open_announcements(
    addresses: Sequence[str], classes: Collection[str], keys: SubscriberKeys | None = None
) -> AsyncIterator[Announcements]:
    """Subscribe to `classes` at `addresses`; reconnects by itself. Raises StartError if an address can't be used."""
    topics = [name.encode() for name in sorted(classes)]
    async with open_subscriber(addresses or [""], setting=SETTING, topics=topics, keys=keys) as socket:
        yield Announcements(socket)
