"""A server that is not gRPC's own, or a proxy before it: an answer of HTTP/2 that is no reply is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.log import capture
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.client import Peer
from autogrocery.kit.rpc.frames import frame
from tests.harness.raw_http2 import EMPTY_MESSAGE, END, OK, answer_of, headers, serving_raw

if TYPE_CHECKING:
    from collections.abc import Callable

GET_ORDER = pb.DESCRIPTOR.services_by_name["InventoryService"].methods_by_name["GetOrder"]
ANSWERS: Final[dict[str, Callable[[int], bytes]]] = {
    "an unknown status": lambda stream: answer_of(stream, {b"grpc-status": b"99"}),
    "a status that is no number": lambda stream: answer_of(stream, {b"grpc-status": b"fine"}),
    "no status": lambda stream: answer_of(stream, {b"x-note": b"none"}),
    "OK without a message": lambda stream: answer_of(stream, OK, b""),
    "two messages": lambda stream: answer_of(stream, OK, EMPTY_MESSAGE * 2),
    "an enormous message": lambda stream: answer_of(stream, OK, b"\0\x7f\xff\xff\xff"),
    "an unknown compression": lambda stream: answer_of(stream, OK, b"\x01\0\0\0\0"),
    "status 401 of HTTP": lambda stream: headers(stream, {b":status": b"401"}, end=True),
    "status 502 of HTTP": lambda stream: (
        headers(stream, {b":status": b"502", b"content-type": b"text/html"}, end=False)
        + frame(frames.DATA, END, stream, b"<html>")
    ),
    "another content type": lambda stream: (
        headers(stream, {b":status": b"200", b"content-type": b"text/html"}, end=False)
        + frame(frames.DATA, END, stream, b"<html>")
    ),
    "CANCELLED": lambda stream: answer_of(stream, {b"grpc-status": b"1"}),
    "UNAUTHENTICATED": lambda stream: answer_of(stream, {b"grpc-status": b"16"}),
    "a reset": lambda stream: frame(frames.RST_STREAM, 0, stream, (8).to_bytes(4, "big")),
    "a goodbye": lambda _stream: frame(frames.GOAWAY, 0, 0, bytes(8)),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_that_is_no_reply_is_in_doubt(answer: str) -> None:
    async with (
        serving_raw(lambda _, stream: ANSWERS[answer](stream)) as raw,
        open_channel(f"127.0.0.1:{raw.port}") as channel,
    ):
        method = channel.raw("/desk/ask")
        with pytest.raises(InDoubt):
            await Peer("desk").call(method, b"", timeout_s=2.0, point="desk.ask")


async def test_a_message_with_status_0_is_the_reply() -> None:
    message = b"\0\0\0\0\x02ok"
    async with (
        serving_raw(lambda _, stream: answer_of(stream, OK, message)) as raw,
        open_channel(f"127.0.0.1:{raw.port}") as channel,
    ):
        method = channel.raw("/desk/ask")
        assert await Peer("desk").call(method, b"", timeout_s=2.0, point="desk.ask") == b"ok"


async def test_an_undecodable_reply_is_logged_once_and_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    events: list[tuple[str, str, dict[str, Any]]] = []
    undecodable = b"\0\0\0\0\x04" + b"\xff" * 4
    async with (
        serving_raw(lambda _, stream: answer_of(stream, OK, undecodable)) as raw,
        open_channel(f"127.0.0.1:{raw.port}") as channel,
    ):
        method = channel.unary(GET_ORDER)
        with capture(lambda *event: events.append(event)), pytest.raises(InDoubt, match="ask is undecodable"):
            await Peer("desk").call(method, pb.GetOrderRequest(), timeout_s=2.0, point="desk.ask")
    fields = {"peer": "desk", "field": "ask", "reason": "undecodable"}
    assert events == [("warning", "peer_reply_rejected", fields)]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("grpc")] == []
