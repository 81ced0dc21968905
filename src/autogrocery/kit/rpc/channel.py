"""All unary calls to one gRPC target: a connection at the first call, a new one after a loss, and the deadlines."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal

from google.protobuf.message import DecodeError

from autogrocery.kit.backoff import equal_jitter_s
from autogrocery.kit.process.deadlines import Deadlines
from autogrocery.kit.process.listening import reachable
from autogrocery.kit.process.run import StartError
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.client_call import Call, Caller, Method
from autogrocery.kit.rpc.connection import CLOSE_S, PING_EVERY_S, Connection
from autogrocery.kit.rpc.header_blocks import encode
from autogrocery.kit.rpc.status import MAX_MESSAGE_BYTES, MESSAGE_HEAD_BYTES, Code, RpcError, UndecodableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from google.protobuf.descriptor import ServiceDescriptor

    from autogrocery.kit.security.tls import Identity, Material

Transport = Literal["h2", "grpcio"]
CONNECT_S: Final = 1.0  # name, TCP, TLS and the peer's settings
FIRST_PAUSE_S: Final = 0.1  # after a failed connection; calls made meanwhile fail at once
MAX_PAUSE_S: Final = 1.0
# A gateway admits 512 requests at once, each of which makes one call at a time: the queue holds twice that. How many
# are in flight is the peer's to say, by MAX_CONCURRENT_STREAMS; who waits for a place does so within the deadline.
MAX_WAITING: Final = 1_024
MAX_ATTEMPTS: Final = 20  # of a call that the peer says it has not processed: within 2 s
REFUSED_PAUSE_S: Final = 0.005
MAX_REFUSED_PAUSE_S: Final = 0.1
KEPT_HEADS: Final = 16
MAX_TIMEOUT_MS: Final = 99_999_999  # `grpc-timeout` has eight digits
FIELDS: Final = (
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity"),
)


@asynccontextmanager
async def open_channel(
    target: str, identity: Identity | None = None, name: str = "", *, transport: Transport = "h2"
) -> AsyncIterator[Caller]:
    """Open a channel; it connects at its first call and again after every loss. 0.0.0.0 and [::] mean loopback.

    With `identity` it uses mutual TLS, and only with a peer whose certificate is for `name`. `transport` grpcio makes
    the calls with `grpc.aio` instead, which is imported only then.
    """
    if transport == "grpcio":
        from autogrocery.kit.rpc.grpcio_channel import open_grpcio_channel  # noqa: PLC0415 - 8 MiB, and threads

        async with open_grpcio_channel(reachable(target), identity, name) as fallback:
            yield fallback
        return
    channel = Channel(reachable(target), identity, name)
    try:
        yield channel
    finally:
        await channel.close()


def stub_of(caller: Caller, service: ServiceDescriptor) -> Any:
    """Return an object with the methods of a service of a .proto file, by their names there."""
    return SimpleNamespace(**{method.name: caller.unary(method) for method in service.methods})


class Channel(Caller):
    """The calls to one target; at most MAX_WAITING wait for a place on the connection."""

    def __init__(
        self, target: str, identity: Identity | None = None, name: str = "", *, ping_every_s: float = PING_EVERY_S
    ) -> None:
        """Take host:port or a name that gRPC knows, such as unix:/path; raises StartError for one that we don't."""
        self._ping_every_s = ping_every_s
        self._loop = asyncio.get_running_loop()
        self._connector = _connector(self._loop, target)
        self._identity = identity
        self._name = name
        self._fields = (
            (b":method", b"POST"),
            (b":scheme", b"http" if identity is None else b"https"),
            (b":authority", (name or _authority(target)).encode()),
        )
        self._current: Connection | None = None  # takes new calls
        self._connections: set[Connection] = set()
        self._material: Material | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failed = 0  # connections in a row that were of no use
        self._pause_until = 0.0
        self._reason = ""
        self._closed = False
        self._waiting: OrderedDict[int, Call] = OrderedDict()
        self._live: dict[int, Call] = {}
        self._numbers = count(1)
        self._deadlines = Deadlines(self._live, self._expire)

    def method(self, path: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Method:
        """Return the method at `path`, as `Caller.method` does."""
        return _UnaryMethod(self, path, encode, decode)

    def head(self, path: bytes, timeout_s: float, token: str | None) -> bytes:
        """Return the frame of a request's header block, without its stream id; raises RpcError if it is too large."""
        timeout = b"%dm" % min(max(int(timeout_s * 1_000), 1), MAX_TIMEOUT_MS)
        authorization = ((b"authorization", b"Bearer " + token.encode()),) if token else ()
        block = encode((*self._fields, (b":path", path), *FIELDS, (b"grpc-timeout", timeout), *authorization))
        if len(block) >= frames.MAX_FRAME_BYTES:
            raise RpcError(Code.RESOURCE_EXHAUSTED, "the token is too large")
        return b"%b%c%c%b" % (len(block).to_bytes(3, "big"), frames.HEADERS, frames.END_HEADERS, block)

    def begin(self, head: bytes, message: bytes, timeout_s: float) -> Call:
        """Make a call: send it at once if there is a place, else let it wait for one; it ends within `timeout_s`."""
        number = next(self._numbers)
        call = self._live[number] = Call(number, self._loop.create_future(), head, message, self._live)
        self._deadlines.add(number, self._loop.time() + timeout_s)
        self._place_call(call)
        return call

    def abandon(self, call: Call) -> None:
        """Forget a call whose caller has gone."""
        self._withdraw(call)
        call.end(RpcError(Code.CANCELLED, "the caller has gone"))

    async def close(self) -> None:
        """End every call and close the connections."""
        self._closed, self._reason = True, "the channel is closed"
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        for connection in list(self._connections):
            connection.close()
        for call in list(self._live.values()):
            call.end(RpcError(Code.UNAVAILABLE, self._reason))
        if self._connections:
            await asyncio.wait([connection.closed for connection in self._connections], timeout=2 * CLOSE_S)

    def on_room(self, connection: Connection) -> None:
        """Send calls that wait for a place."""
        while self._waiting and connection is self._current and connection.has_room():
            connection.start(self._waiting.popitem(last=False)[1])

    def on_unprocessed(self, call: Call) -> None:
        """Make a call again that the peer has not processed: elsewhere at once, on the same connection a bit later."""
        connection, call.connection = call.connection, None
        call.attempts += 1
        if call.attempts >= MAX_ATTEMPTS:
            call.end(RpcError(Code.UNAVAILABLE, "the peer refused the call"))
        elif connection is self._current:
            pause_s = equal_jitter_s(call.attempts, REFUSED_PAUSE_S, MAX_REFUSED_PAUSE_S)
            self._loop.call_later(pause_s, self._place_call, call)
        else:
            self._place_call(call)

    def on_leaving(self, connection: Connection) -> None:
        """Let waiting calls have a new connection; after one that was of no use, only when the pause is over."""
        if connection is not self._current:
            return
        self._current = None
        self._note_end(useful=connection.answered, reason="the connection was of no use")
        if self._waiting:
            self._connect_or_fail()

    def _place_call(self, call: Call) -> None:
        if call.number not in self._live:
            return
        if self._identity is not None and self._current is not None and self._identity.current() is not self._material:
            former, self._current = self._current, None  # calls in flight end on the connection of the old certificate
            former.leave()
        connection = self._current
        if connection is not None and not self._waiting and connection.has_room():
            connection.start(call)
        elif len(self._waiting) >= MAX_WAITING:
            call.end(RpcError(Code.RESOURCE_EXHAUSTED, "too many calls wait"))
        else:
            self._waiting[call.number] = call
            if call.attempts:
                self._waiting.move_to_end(call.number, last=False)
            if connection is None:
                self._connect_or_fail()

    def _connect_or_fail(self) -> None:
        if self._closed or (self._connecting is None and self._loop.time() < self._pause_until):
            self._fail_waiting()
        elif self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        connection = Connection(self, self._loop, self._ping_every_s)
        try:
            tls: dict[str, Any] = {}
            if self._identity is not None:
                self._material = self._identity.current()
                tls = {"ssl": self._material.h2_client, "server_hostname": self._name}
            async with asyncio.timeout(CONNECT_S):
                await self._connector(lambda: connection, **tls)
                self._connections.add(connection)
                connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
                if not await connection.ready:
                    raise ConnectionError(connection.reason)
        except (OSError, TimeoutError, ValueError) as error:  # ValueError of a name that can be none
            self._connecting = None
            connection.close()
            self._note_end(useful=False, reason=f"no connection: {error or type(error).__name__}")
            self._fail_waiting()
        else:
            self._connecting = None
            if connection.is_open:
                self._current = connection
                self.on_room(connection)
            else:
                self._note_end(useful=False, reason=connection.reason)
                self._fail_waiting()

    def _note_end(self, *, useful: bool, reason: str) -> None:
        if useful:
            self._failed = 0
            return
        self._failed += 1
        self._reason = reason
        self._pause_until = self._loop.time() + equal_jitter_s(self._failed, FIRST_PAUSE_S, MAX_PAUSE_S)

    def _fail_waiting(self) -> None:
        while self._waiting:
            self._waiting.popitem()[1].end(RpcError(Code.UNAVAILABLE, self._reason))

    def _withdraw(self, call: Call) -> None:
        self._waiting.pop(call.number, None)
        if call.connection is not None:
            call.connection.drop(call)

    def _expire(self, number: int) -> None:
        call = self._live[number]
        self._withdraw(call)
        call.end(RpcError(Code.DEADLINE_EXCEEDED, "no answer in time"))


def _connector(loop: asyncio.AbstractEventLoop, target: str) -> Callable[..., Awaitable[Any]]:
    """Return the event loop's function that connects to a target (grpc/doc/naming.md).

    Raises StartError for a kind of name that only grpcio resolves.
    """
    for prefix, first in (("unix-abstract:", "\0"), ("unix://", ""), ("unix:", "")):
        if target.startswith(prefix):
            return partial(loop.create_unix_connection, path=first + target.removeprefix(prefix))
    host, _, port = _authority(target).rpartition(":")
    if not port.isdecimal() or set(host.partition("[")[0]) & set(":/,"):
        raise StartError(f"{target}: only the transport grpcio knows this kind of target")
    return partial(loop.create_connection, host=host.strip("[]"), port=int(port))


def _authority(target: str) -> str:
    """Return the host and port of a target, and of the path of a socket `localhost`, as grpcio does."""
    for prefix in ("dns:///", "dns:", "ipv4:", "ipv6:"):
        target = target.removeprefix(prefix)
    return "localhost" if target.startswith("unix") else target


class _UnaryMethod:
    """One method; the heads of its requests are built once for each deadline, with a token once for each call."""

    def __init__(
        self, channel: Channel, path: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
    ) -> None:
        self._channel = channel
        self._path = path.encode("ascii")
        self._encode = encode
        self._decode = decode
        self._heads: dict[float, bytes] = {}

    async def __call__(self, request: Any, *, timeout_s: float, token: str | None = None) -> Any:
        """Return the reply; raises RpcError, of which UndecodableError if the reply is no message of its type."""
        head = self._head(timeout_s) if token is None else self._channel.head(self._path, timeout_s, token)
        message = self._encode(request)
        if len(message) > MAX_MESSAGE_BYTES:
            raise RpcError(Code.RESOURCE_EXHAUSTED, "the request is too large")
        prefixed = b"\0%b%b" % (len(message).to_bytes(MESSAGE_HEAD_BYTES - 1, "big"), message)
        call = self._channel.begin(head, prefixed, timeout_s)
        try:
            outcome = await call.outcome
        except asyncio.CancelledError:
            self._channel.abandon(call)
            raise
        if isinstance(outcome, RpcError):
            raise outcome
        try:
            return self._decode(outcome)
        except DecodeError:
            raise UndecodableError from None

    def _head(self, timeout_s: float) -> bytes:
        head = self._heads.get(timeout_s)
        if head is None:
            head = self._channel.head(self._path, timeout_s, None)
            if len(self._heads) < KEPT_HEADS:
                self._heads[timeout_s] = head
        return head
