"""ZeroMQ publishers and subscribers. Sending never blocks; a message that ZeroMQ refuses is counted as dropped."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from socket import AF_INET6, SOCK_STREAM, getaddrinfo
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

from autogrocery.kit.process import faults
from autogrocery.kit.process.listening import bind, reachable, why_not
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError, address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from autogrocery.kit.security.curve import PublisherKeys, SubscriberKeys

HIGH_WATER_MARK = 100_000
LINGER_MS = 500
POST_WITHIN_S = 0.005
OTHER_SCHEMES = frozenset({"ipc", "inproc", "vmci"})


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
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

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
        return await self._through(partial(self.send, *frames)) if faults.active() else self.send(*frames)

    async def post(self, frame: bytes) -> bool:
        """Send, through the fault point, within POST_WITHIN_S, together with others of that time.

        Messages one by one wake ZeroMQ's thread each time, which costs up to ten times as much. Those that a crash
        leaves unsent are lost, as on the way.
        """
        return await self._through(partial(self._post, frame)) if faults.active() else self._post(frame)

    async def _through(self, send: Callable[[], bool]) -> bool:
        async def call() -> bool:
            return send()

        try:
            return await faults.through(self._point, call)
        except faults.FaultError:
            self.dropped += 1
            return False

    def _post(self, frame: bytes) -> bool:
        if not self._waiting:
            self._timer = asyncio.get_running_loop().call_later(POST_WITHIN_S, self.flush)
        self._waiting.append(frame)
        return True

    def flush(self) -> None:
        """Send what was posted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            self.send(frame)


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
            for binds, wanted in endpoints(value) or [(True, "")]:
                _attach(socket, setting, wanted, binds=binds)
            publisher = Publisher(socket, point)
            try:
                yield publisher
            finally:
                publisher.flush()
    finally:
        socket.close()
        context.term()


@asynccontextmanager
async def open_subscriber(
    addresses: Sequence[str],
    *,
    setting: str = "ZMQ",
    topics: Sequence[bytes] = (b"",),
    binds: bool = False,
    keys: SubscriberKeys | None = None,
) -> AsyncIterator[zmq.asyncio.Socket]:
    """Open a SUB socket; `await socket.recv_multipart()` yields messages. It reconnects by itself.

    Raises StartError naming `setting` if an address can't be used.

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
        for wanted in addresses:
            _attach(socket, setting, wanted, binds=binds)
        yield socket
    finally:
        socket.close()
        context.term()


def _attach(socket: zmq.Socket[Any], setting: str, wanted: str, *, binds: bool) -> None:
    """Bind or connect a socket; raises StartError or SettingsError naming `setting`, with the reason."""
    endpoint = wanted if binds else reachable(wanted)
    place = _place_of(setting, endpoint)
    try:
        # For this endpoint only: with the option, ZeroMQ would look up a name such as localhost as IPv6 and nothing
        # else.
        socket.setsockopt(zmq.IPV6, _is_ipv6(place))
        if binds:
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise StartError(f"{setting}: {endpoint} {_why_not(setting, place, error, binds=binds)}") from None


def _place_of(setting: str, endpoint: str) -> tuple[str, int] | None:
    """Return host and port of `tcp://host:port` (port 0 for `*`), None for `ipc://` and the like.

    Raises SettingsError naming `setting` if it is malformed; ZeroMQ itself would take port 99999 for 34463.
    """
    scheme, _, place = endpoint.partition("://")
    if scheme == "tcp":
        host, _, port = place.rpartition(";")[2].rpartition(":")  # before `;` is the address to connect from
        return address(setting, f"{host}:{'0' if port == '*' else port}")
    if scheme not in OTHER_SCHEMES:
        raise SettingsError(f"{setting} is malformed: expected tcp://host:port or ipc://path")
    return None


def _is_ipv6(place: tuple[str, int] | None) -> bool:
    """Return whether the host is an IPv6 address, or a name that has no other."""
    if place is None or place[0] == "*":
        return False
    try:
        found = getaddrinfo(*place, type=SOCK_STREAM)
    except (OSError, UnicodeError):
        return ":" in place[0]
    return all(family == AF_INET6 for family, *_ in found)


def _why_not(setting: str, place: tuple[str, int] | None, error: zmq.ZMQError, *, binds: bool) -> str:
    if place is not None and binds:
        try:
            bind(*place).close()
        except OSError as reason:
            return f"{why_not(*place, reason)}: set {setting} to another address"
    verb = "bound" if binds else "connected to"
    return f"can't be {verb} ({zmq.strerror(error.errno or 0)}): set {setting} to another address"
