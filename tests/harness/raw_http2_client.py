"""A client of HTTP/2 that sends whatever frames a test wants, and a small server of unary calls to send them to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.frames import FrameReader
from autogrocery.kit.rpc.header_blocks import BlockDecoder, encode
from autogrocery.kit.rpc.server import server_methods
from autogrocery.kit.rpc.server_connection import ServerConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from autogrocery.kit.rpc.server_call import ServerCall

SERVICE: Final = pb.DESCRIPTOR.services_by_name["InventoryService"]
GET_ORDER: Final = f"/{SERVICE.full_name}/GetOrder"
PATIENCE_S: Final = 10.0
HEAD: Final = {
    ":method": "POST",
    ":scheme": "http",
    ":path": GET_ORDER,
    ":authority": "desk",
    "te": "trailers",
    "content-type": "application/grpc",
}


class Desk:
    """Answers GetOrder with the order's id.

    A call waits for the event in `gates` of its id, then raises the error in `fails`; its reply has as many bytes more
    as `large` says. `tokens` has the authorization of each call.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.fails: dict[str, Exception] = {}
        self.large: dict[str, int] = {}
        self.tokens: dict[str, bytes] = {}
        self.cancelled: list[str] = []

    async def GetOrder(self, request: pb.GetOrderRequest, call: ServerCall) -> pb.GetOrderResponse:
        order_id = request.order_id
        self.begun.append(order_id)
        self.tokens[order_id] = call.fields.get(b"authorization", b"")
        if order_id in self.gates:
            try:
                await self.gates[order_id].wait()
            except asyncio.CancelledError:
                self.cancelled.append(order_id)
                raise
        self.finished.append(order_id)
        if order_id in self.fails:
            raise self.fails[order_id]
        items = [pb.PickedItem(sku="x" * self.large[order_id])] if order_id in self.large else []
        return pb.GetOrderResponse(order_id=order_id, items=items)


class Listener:
    """A server without deadlines of its own: a test lets its `connections` check theirs at a time that it names."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.connections: set[ServerConnection] = set()
        self.port = 0

    def check(self, after_s: float) -> None:
        """Let the connections check their deadlines as if `after_s` seconds had passed."""
        for connection in tuple(self.connections):
            connection.check(asyncio.get_running_loop().time() + after_s)


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """Serve the desk on loopback."""
    listener = Listener()
    table = {path.encode(): method for path, method in server_methods(SERVICE, listener.desk).items()}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ServerConnection(table, listener.connections), "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        connections = tuple(listener.connections)
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait([connection.gone for connection in connections], timeout=PATIENCE_S)


class RawClient:
    """One connection. `ended` is set once the server has closed it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.received: list[tuple[int, int, int, bytes]] = []
        self.ended = asyncio.Event()
        self._reader = reader
        self._frames = FrameReader()
        self._decoder = BlockDecoder()
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                self.received += self._frames.feed(data)
                self._news.set()
        except ConnectionError:
            pass
        finally:
            self.ended.set()
            self._news.set()

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def until(self, kind: int, stream: int | None = None, *, nth: int = 1, flags: int = 0) -> bytes:
        """Wait for the nth frame of a kind, of any stream if it is None, with these flags; returns its payload."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = [
                    payload
                    for one, has, number, payload in self.received
                    if one == kind and stream in {None, number} and has & flags == flags
                ]
                if len(found) >= nth:
                    return found[nth - 1]
                assert not self.ended.is_set(), f"the server closed it after {len(self.received)} frames"
                self._news.clear()
                await self._news.wait()

    async def status(self, stream: int) -> tuple[int, str]:
        """Wait for the end of a stream's answer; returns its status and detail."""
        fields = self._decoder.decode(await self.until(frames.HEADERS, stream, flags=frames.END_STREAM))
        return int(fields[b"grpc-status"]), fields.get(b"grpc-message", b"").decode("ascii")

    async def fields(self, stream: int) -> Mapping[bytes, bytes]:
        """Wait for the first header block of a stream's answer."""
        return self._decoder.decode(await self.until(frames.HEADERS, stream))

    async def goaway(self) -> int:
        """Wait for a GOAWAY and the end of the connection; returns its error code."""
        payload = await self.until(frames.GOAWAY)
        async with asyncio.timeout(PATIENCE_S):
            await self.ended.wait()
        return int.from_bytes(payload[4:8], "big")

    async def close(self) -> None:
        self._reading.cancel()
        self.writer.close()
        await asyncio.wait([self._reading])


@asynccontextmanager
async def raw_client(port: int, first: bytes = frames.PREFACE + frames.settings({})) -> AsyncIterator[RawClient]:
    """Connect, and send `first`."""
    client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
    client.send(first)
    try:
        yield client
    finally:
        await client.close()


def head(stream: int, *, end: bool = False, **changed: Any) -> bytes:
    """Return the HEADERS of a call; `changed` replaces fields, _ for - and p_ for :, or leaves them out if None."""
    fields: dict[str, str | None] = dict(HEAD)
    fields |= {name.replace("p_", ":").replace("_", "-"): value for name, value in changed.items()}
    block = encode((name.encode(), value.encode()) for name, value in fields.items() if value is not None)
    return frames.frame(frames.HEADERS, frames.END_HEADERS | (frames.END_STREAM if end else 0), stream, block)


def message(order_id: str, flag: int = 0) -> bytes:
    """Return a request with its prefix."""
    body = pb.GetOrderRequest(order_id=order_id).SerializeToString()
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


def data(stream: int, payload: bytes, *, end: bool = True) -> bytes:
    """Return a DATA frame."""
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream, payload)


def call(stream: int, order_id: str, **changed: Any) -> bytes:
    """Return the frames of one call."""
    return head(stream, **changed) + data(stream, message(order_id))


def ping(payload: bytes = b"12345678", flags: int = 0) -> bytes:
    """Return a PING."""
    return frames.frame(frames.PING, flags, 0, payload)


def reply(client: RawClient, stream: int) -> Any:
    """Return the reply that a stream has carried."""
    body = b"".join(payload for kind, _, number, payload in client.received if kind == frames.DATA and number == stream)
    return pb.GetOrderResponse.FromString(body[5:])
