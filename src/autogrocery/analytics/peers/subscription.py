"""The subscription to the metrics that gateways publish."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio

from autogrocery.kit.bus import open_subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from autogrocery.kit.security.curve import SubscriberKeys

SETTING = "ANALYTICS_ZMQ_TARGET or ANALYTICS_ZMQ_ADDR"


class Subscription:
    """A subscription to all metrics of the gateways."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self._socket = socket
        # Without a future for each message, which costs more than all else that is done with it.
        self._queued: zmq.Socket[bytes] = zmq.Socket.shadow(socket.underlying)

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for a message and return those that are queued, up to `limit`.

        A metric is one frame; a message of several frames is returned as b"".
        """
        found = [await self._socket.recv_multipart()]
        with suppress(zmq.Again):
            while len(found) < limit:
                found.append(self._queued.recv_multipart(zmq.NOBLOCK))
        return [frames[0] if len(frames) == 1 else b"" for frames in found]


@asynccontextmanager
async def open_subscription(
    addresses: Sequence[str], *, binds: bool, keys: SubscriberKeys | None = None
) -> AsyncIterator[Subscription]:
    """Subscribe at `addresses`; reconnects by itself. Raises StartError if an address can't be used."""
    async with open_subscriber(addresses, setting=SETTING, binds=binds, keys=keys) as socket:
        yield Subscription(socket)
