"""ZeroMQ publishers and subscribers. Sending never blocks; a message that ZeroMQ refuses is counted as dropped."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio

from autogrocery.kit.process import faults
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from autogrocery.kit.security.curve import PublisherKeys, SubscriberKeys

HIGH_WATER_MARK = 100_000
LINGER_MS = 500


def endpoints(value: str) -> list[tuple[bool, str]]:
    """Parse a comma list of addresses into (binds, address): `>tcp://…` connects (False), `@tcp://…` or bare binds."""
    parts = filter(None, (part.strip() for part in value.split(",")))
    return [(not part.startswith(">"), part.lstrip(">@")) for part in parts]


class Publisher:
    """A PUB socket with a fault point. `sent` and `dropped` count messages since the start."""

    def __init__(self, socket: zmq.Socket[bytes], point: str) -> None:
        self.sent = 0
        self.dropped = 0
        self._socket = socket
        self._point = point

    def send(self, *frames: bytes) -> bool:
        """Queue a message in ZeroMQ without waiting; False, and counted in `dropped`, if ZeroMQ refuses it."""
        try:
            if len(frames) == 1:
                self._socket.send(frames[0], zmq.NOBLOCK)
            else:
                self._socket.send_multipart(frames, zmq.NOBLOCK, copy=len(frames[-1]) < 1 << 12)
        except zmq.ZMQError:
            self.dropped += 1
            return False
        self.sent += 1
        return True

    async def publish(self, *frames: bytes) -> bool:
        """Send through this publisher's fault point; an injected failure counts as dropped."""
        try:
            return await faults.through(self._point, lambda: self._send(frames))
        except faults.FaultError:
            self.dropped += 1
            return False

    async def _send(self, frames: tuple[bytes, ...]) -> bool:
        return self.send(*frames)


@asynccontextmanager
async def open_publisher(
    setting: str, value: str, *, point: str, keys: PublisherKeys | None = None
) -> AsyncIterator[Publisher]:
    """Open a PUB socket on all addresses of `value`; raises StartError naming `setting` if one can't be used.

    With `keys` it encrypts with CURVE, and accepts only subscribers whose public key is on the allow-list.
    """
    context = zmq.Context()
    socket = context.socket(zmq.PUB)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    try:
        with keys.authenticating(context, socket) if keys is not None else nullcontext():
            for binds, address in endpoints(value):
                try:
                    if binds:
                        socket.bind(address)
                    else:
                        socket.connect(address)
                except zmq.ZMQError as error:
                    raise StartError(
                        f"{setting}: {address} can't be used ({error.strerror}): set another address"
                    ) from None
            yield Publisher(socket, point)
    finally:
        socket.close()
        context.term()


@asynccontextmanager
async def open_subscriber(
    addresses: Sequence[str],
    *,
    topics: Sequence[bytes] = (b"",),
    binds: bool = False,
    keys: SubscriberKeys | None = None,
) -> AsyncIterator[zmq.asyncio.Socket]:
    """Open a SUB socket; `await socket.recv_multipart()` yields messages. It reconnects by itself.

    With `keys` it encrypts with CURVE, and receives only from publishers that hold the expected key.
    """
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
    for topic in topics:
        socket.setsockopt(zmq.SUBSCRIBE, topic)
    if keys is not None:
        keys.apply_to(socket)
    try:
        for address in addresses:
            if binds:
                socket.bind(address)
            else:
                socket.connect(address)
        yield socket
    finally:
        socket.close()
        context.term()
