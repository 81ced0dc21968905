"""A server that is not gRPC's own, or a proxy before it: an answer of HTTP/2 that is no reply is in doubt."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.log import capture
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.client import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7  # RFC 9113 §6
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
GRPC = {":status": "200", "content-type": "application/grpc"}
GET_ORDER = pb.DESCRIPTOR.services_by_name["InventoryService"].methods_by_name["GetOrder"]
EMPTY_MESSAGE = b"\0" * 5


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def headers(stream: int, fields: dict[str, str], *, end: bool) -> bytes:
    """Return a HEADERS frame of literal fields without indexing (RFC 7541 §6.2.2)."""
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def trailers(stream: int, fields: dict[str, str], message: bytes = b"") -> bytes:
    """Return the response headers, a message and trailers."""
    return headers(stream, GRPC, end=False) + frame(DATA, 0, stream, message) + headers(stream, fields, end=True)


ANSWERS: Final[dict[str, Any]] = {
    "an unknown status": lambda stream: trailers(stream, {"grpc-status": "99"}),
    "a status that is no number": lambda stream: trailers(stream, {"grpc-status": "fine"}),
    "no status": lambda stream: trailers(stream, {"x-note": "none"}),
    "OK without a message": lambda stream: trailers(stream, {"grpc-status": "0"}),
    "two messages": lambda stream: trailers(stream, {"grpc-status": "0"}, EMPTY_MESSAGE * 2),
    "an enormous message": lambda stream: trailers(stream, {"grpc-status": "0"}, b"\0\x7f\xff\xff\xff"),
    "an unknown compression": lambda stream: trailers(stream, {"grpc-status": "0"}, b"\x01\0\0\0\0"),
    "status 401 of HTTP": lambda stream: headers(stream, {":status": "401"}, end=True),
    "status 502 of HTTP": lambda stream: (
        headers(stream, {":status": "502", "content-type": "text/html"}, end=False)
        + frame(DATA, END_STREAM, stream, b"<html>")
    ),
    "another content type": lambda stream: (
        headers(stream, {":status": "200", "content-type": "text/html"}, end=False)
        + frame(DATA, END_STREAM, stream, b"<html>")
    ),
    "CANCELLED": lambda stream: trailers(stream, {"grpc-status": "1"}),
    "UNAUTHENTICATED": lambda stream: trailers(stream, {"grpc-status": "16"}),
    "a reset": lambda stream: frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")),
    "a goodbye": lambda _stream: frame(GOAWAY, 0, 0, bytes(8)),
}


@asynccontextmanager
async def serving(answer: Any) -> AsyncIterator[int]:
    """Serve HTTP/2 without any library; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(len(PREFACE))
            writer.write(frame(SETTINGS, 0, 0))
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if kind in {SETTINGS, PING} and not flags & ACK:
                    writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))
                if kind in {HEADERS, DATA} and flags & END_STREAM:
                    writer.write(answer(stream))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_that_is_no_reply_is_in_doubt(answer: str) -> None:
    async with serving(ANSWERS[answer]) as port, open_channel(f"127.0.0.1:{port}") as channel:
        method = channel.raw("/desk/ask")
        with pytest.raises(InDoubt):
            await Peer("desk").call(method, b"", timeout_s=2.0, point="desk.ask")


async def test_a_message_with_status_0_is_the_reply() -> None:
    reply = b"\0\0\0\0\x02ok"
    async with (
        serving(lambda stream: trailers(stream, {"grpc-status": "0"}, reply)) as port,
        open_channel(f"127.0.0.1:{port}") as channel,
    ):
        method = channel.raw("/desk/ask")
        assert await Peer("desk").call(method, b"", timeout_s=2.0, point="desk.ask") == b"ok"


async def test_an_undecodable_reply_is_logged_once_and_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    events: list[tuple[str, str, dict[str, Any]]] = []
    undecodable = b"\0\0\0\0\x04" + b"\xff" * 4
    async with (
        serving(lambda stream: trailers(stream, {"grpc-status": "0"}, undecodable)) as port,
        open_channel(f"127.0.0.1:{port}") as channel,
    ):
        method = channel.unary(GET_ORDER)
        with capture(lambda *event: events.append(event)), pytest.raises(InDoubt, match="ask is undecodable"):
            await Peer("desk").call(method, pb.GetOrderRequest(), timeout_s=2.0, point="desk.ask")
    fields = {"peer": "desk", "field": "ask", "reason": "undecodable"}
    assert events == [("warning", "peer_reply_rejected", fields)]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("grpc")] == []
