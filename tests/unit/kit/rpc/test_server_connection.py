"""The server's end of one HTTP/2 connection, frame by frame."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from autogrocery.kit.process.log import capture
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.frames import ErrorCode, Setting
from autogrocery.kit.rpc.server_call import MAX_CALL_S, timeout_s_of
from autogrocery.kit.rpc.server_connection import (
    ABANDON_S,
    HANDSHAKE_S,
    MAX_BUFFERED_BYTES,
    MAX_CONNECTIONS,
    MAX_STREAMS,
    PING_AFTER_S,
    PING_S,
    SEND_S,
)
from autogrocery.kit.rpc.status import MAX_MESSAGE_BYTES, Code
from tests.harness.raw_http2_client import (
    GET_ORDER,
    PATIENCE_S,
    call,
    data,
    head,
    listening,
    message,
    ping,
    raw_client,
    reply,
)
from tests.harness.waiting import until

GREETING = frames.PREFACE + frames.settings({})


async def test_a_call_is_answered_in_three_frames() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(call(1, "one"))
        assert await client.status(1) == (Code.OK, "")
        kinds = [kind for kind, _, stream, _ in client.received if stream == 1]
        assert kinds == [frames.HEADERS, frames.DATA, frames.HEADERS]
        assert (await client.fields(1))[b"content-type"] == b"application/grpc"
        assert reply(client, 1).order_id == "one"


class CountedWrites:
    """A transport that keeps what is written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_answers_of_one_turn_leave_in_one_write() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        await client.until(frames.SETTINGS, flags=frames.ACK)
        (connection,) = listener.connections
        counted = connection._transport = CountedWrites(connection._transport)
        client.send(*(call(stream, str(stream)) for stream in range(1, 21, 2)))
        for stream in range(1, 21, 2):
            assert await client.status(stream) == (Code.OK, "")
        assert [write.count(b"grpc-status") for write in counted.writes] == [10]


@pytest.mark.parametrize("kept", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0"])
async def test_what_is_no_preface_ends_the_connection(kept: bytes) -> None:
    async with listening() as listener, raw_client(listener.port, kept) as client:
        assert await client.goaway() == ErrorCode.PROTOCOL_ERROR


BROKEN: dict[str, tuple[bytes, ErrorCode]] = {
    "a stream with an even number": (head(2), ErrorCode.PROTOCOL_ERROR),
    "DATA of no stream": (data(5, b""), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM of no stream": (frames.reset(5, ErrorCode.CANCEL), ErrorCode.PROTOCOL_ERROR),
    "WINDOW_UPDATE of no stream": (frames.window_update(5, 1), ErrorCode.PROTOCOL_ERROR),
    "a window widened by nothing": (frames.window_update(0, 0), ErrorCode.FLOW_CONTROL_ERROR),
    "a window widened too far": (frames.window_update(0, frames.MAX_WINDOW), ErrorCode.FLOW_CONTROL_ERROR),
    "a stream's window widened too far": (
        head(3) + frames.window_update(3, frames.MAX_WINDOW),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "windows beyond the largest by SETTINGS": (
        head(3) + frames.window_update(3, 1 << 30) + frames.settings({Setting.INITIAL_WINDOW_SIZE: frames.MAX_WINDOW}),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "a header block that can't be decoded": (
        frames.frame(frames.HEADERS, frames.END_HEADERS, 3, b"\xff\xff\xff\xff\xff\xff"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "a push": (frames.frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, b"\0\0\0\2"), ErrorCode.PROTOCOL_ERROR),
    "a frame that is too large": (b"\xff\xff\xff\0\0\0\0\0\1", ErrorCode.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_violation_ends_the_connection_and_calls_in_work_go_on(what: str) -> None:
    sent, code = BROKEN[what]
    async with listening() as listener, raw_client(listener.port) as client:
        gate = listener.desk.gates["held"] = asyncio.Event()
        client.send(call(1, "held"))
        await until(lambda: listener.desk.begun == ["held"])
        lines: list[str] = []
        with capture(lambda _, event, __: lines.append(event)):
            client.send(sent)
            assert await client.goaway() == code
        assert lines == ["http2_violated"]
        gate.set()
        await until(lambda: listener.desk.finished == ["held"])
        await until(lambda: not listener.connections)


FLOODS: dict[str, Any] = {
    "pings": lambda _: ping(),
    "settings": lambda _: frames.settings({}),
    "priorities": lambda _: frames.frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\0"),
    "rapid resets": lambda n: head(2 * n + 3) + frames.reset(2 * n + 3, ErrorCode.CANCEL),
    "rapid resets of calls": lambda n: call(2 * n + 3, "x") + frames.reset(2 * n + 3, ErrorCode.CANCEL),
    "empty data": lambda _: data(1, b"", end=False),
    "data of a stream that is over": lambda n: head(3) + frames.reset(3, ErrorCode.CANCEL) if n == 0 else data(3, b"x"),
    "streams beyond the limit": lambda n: head(2 * n + 3),
    "windows widened by one": lambda _: frames.window_update(0, 1),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_is_ended(what: str) -> None:
    async with listening() as listener, raw_client(listener.port, GREETING + head(1)) as client:
        listener.desk.gates["x"] = asyncio.Event()
        codes: list[str] = []
        with capture(lambda _level, _event, fields: codes.append(fields["code"])):
            for first in range(0, frames.MAX_IDLE_FRAMES + 1_000, 500):
                client.send(*(FLOODS[what](first + number) for number in range(500)))
                with suppress(ConnectionError):
                    await client.writer.drain()
            await asyncio.wait_for(client.ended.wait(), PATIENCE_S)
        assert codes == ["ENHANCE_YOUR_CALM"]
        assert len(listener.desk.begun) <= MAX_STREAMS
        listener.desk.gates["x"].set()


async def test_a_header_block_without_an_end_is_ended() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(frames.frame(frames.HEADERS, 0, 1, b"\0"))
        client.send(*(frames.frame(frames.CONTINUATION, 0, 1, b"x") for _ in range(frames.MAX_CONTINUATIONS + 1)))
        with capture(lambda *_: None):
            assert await client.goaway() == ErrorCode.ENHANCE_YOUR_CALM


async def test_calls_beyond_the_limit_are_refused_and_the_others_answered() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        streams = range(1, 2 * MAX_STREAMS, 2)
        gate = asyncio.Event()
        listener.desk.gates = {str(stream): gate for stream in streams}
        client.send(*(call(stream, str(stream)) for stream in streams), call(601, "many"))
        refused = await client.until(frames.RST_STREAM, 601)
        assert int.from_bytes(refused, "big") == ErrorCode.REFUSED_STREAM
        assert "many" not in listener.desk.begun
        gate.set()
        for stream in streams:
            assert await client.status(stream) == (Code.OK, "")


async def test_calls_that_were_reset_keep_their_places_while_they_work() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        streams = range(1, 2 * MAX_STREAMS, 2)
        gate = asyncio.Event()
        listener.desk.gates = {str(stream): gate for stream in streams}
        client.send(*(call(stream, str(stream)) + frames.reset(stream, ErrorCode.CANCEL) for stream in streams))
        client.send(call(601, "next"))
        await client.until(frames.RST_STREAM, 601)
        gate.set()
        await until(lambda: len(listener.desk.finished) == MAX_STREAMS)
        client.send(call(603, "later"))
        assert await client.status(603) == (Code.OK, "")
        assert {stream for kind, _, stream, _ in client.received if kind == frames.DATA} == {603}


HEADS: dict[str, tuple[dict[str, Any], str]] = {
    "another method": ({"p_method": "GET"}, "405"),
    "no content type": ({"content_type": None}, "415"),
    "JSON": ({"content_type": "application/json"}, "415"),
    "gRPC-Web": ({"content_type": "application/grpc-web+proto"}, "415"),
}


@pytest.mark.parametrize("what", HEADS)
async def test_what_is_no_grpc_gets_a_status_of_http(what: str) -> None:
    changed, status = HEADS[what]
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(head(1, **changed))
        assert (await client.fields(1))[b":status"] == status.encode()
        assert int.from_bytes(await client.until(frames.RST_STREAM, 1), "big") == ErrorCode.NO_ERROR
        client.send(call(3, "next"))
        assert await client.status(3) == (Code.OK, "")


@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;charset=utf-8", "application/grpc"])
async def test_other_names_of_the_content_type_are_grpc(kind: str) -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(call(1, "one", content_type=kind))
        assert await client.status(1) == (Code.OK, "")


@pytest.mark.parametrize(
    "changed", [{"p_path": None}, {"p_scheme": None}, {"p_method": None}, {"Upper": "x"}, {"connection": "x"}]
)
async def test_a_malformed_head_resets_its_stream_only(changed: dict[str, Any]) -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(call(1, "one", **changed))
        assert int.from_bytes(await client.until(frames.RST_STREAM, 1), "big") == ErrorCode.PROTOCOL_ERROR
        client.send(call(3, "next"))
        assert await client.status(3) == (Code.OK, "")
        assert listener.desk.begun == ["next"]


BODIES: dict[str, tuple[bytes, dict[str, Any], Code]] = {
    "no message": (b"", {}, Code.INTERNAL),
    "half a prefix": (b"\0\0", {}, Code.INTERNAL),
    "half a message": (message("one")[:-1], {}, Code.INTERNAL),
    "two messages": (message("one") * 2, {}, Code.INTERNAL),
    "junk": (b"\0\0\0\0\4\xff\xff\xff\xff", {}, Code.INTERNAL),
    "a compressed message": (message("one", flag=1), {"grpc_encoding": "gzip"}, Code.UNIMPLEMENTED),
    "a compressed message without an encoding": (message("one", flag=1), {}, Code.INTERNAL),
}


@pytest.mark.parametrize("what", BODIES)
async def test_a_request_that_is_not_one_plain_message_is_answered_with_its_status(what: str) -> None:
    body, changed, code = BODIES[what]
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(head(1, **changed), data(1, body))
        assert (await client.status(1))[0] == code
        accepted = (await client.fields(1)).get(b"grpc-accept-encoding")
        assert accepted == (b"identity" if code is Code.UNIMPLEMENTED else None)
        assert listener.desk.begun == []


async def test_a_message_that_is_not_compressed_may_name_an_encoding() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(call(1, "one", grpc_encoding="gzip"))
        assert await client.status(1) == (Code.OK, "")


async def test_a_request_may_come_in_any_number_of_frames() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(head(1), *(data(1, bytes([octet]), end=False) for octet in message("in pieces")), data(1, b""))
        assert await client.status(1) == (Code.OK, "")
        assert listener.desk.begun == ["in pieces"]
        client.send(head(3), data(3, message("with trailers"), end=False), head(3, end=True))
        assert await client.status(3) == (Code.OK, "")


async def test_requests_are_bounded_each_and_together() -> None:
    piece = bytes(frames.MAX_FRAME_BYTES)
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(head(1), *(data(1, piece, end=False) for _ in range(MAX_MESSAGE_BYTES // len(piece) + 1)))
        assert (await client.status(1))[0] == Code.RESOURCE_EXHAUSTED
        assert int.from_bytes(await client.until(frames.RST_STREAM, 1), "big") == ErrorCode.NO_ERROR
        full = MAX_MESSAGE_BYTES // len(piece)
        streams = range(3, 3 + 2 * (MAX_BUFFERED_BYTES // MAX_MESSAGE_BYTES + 1), 2)
        for stream in streams:
            client.send(head(stream), *(data(stream, piece, end=False) for _ in range(full)))
        assert (await client.status(streams[-1]))[0] == Code.RESOURCE_EXHAUSTED
        assert await client.until(frames.WINDOW_UPDATE, 0, nth=2)
        client.send(*(frames.reset(stream, ErrorCode.CANCEL) for stream in streams[:-1]), call(201, "next"))
        assert await client.status(201) == (Code.OK, "")
        (connection,) = listener.connections
        assert connection._buffered == 0


async def test_a_large_answer_keeps_to_both_windows() -> None:
    first = frames.PREFACE + frames.settings({Setting.INITIAL_WINDOW_SIZE: 1_000})
    async with listening() as listener, raw_client(listener.port, first) as client:
        listener.desk.large["one"] = 200_000

        def received() -> int:
            return sum(len(payload) for kind, _, _, payload in client.received if kind == frames.DATA)

        client.send(call(1, "one"))
        await until(lambda: received() == 1_000)
        client.send(frames.window_update(1, 64_000))
        await until(lambda: received() == 65_000)
        client.send(frames.window_update(1, 500_000))
        await until(lambda: received() == frames.FIRST_WINDOW)
        client.send(call(3, "small"))
        client.send(frames.window_update(0, 500_000))
        assert await client.status(1) == (Code.OK, "")
        assert await client.status(3) == (Code.OK, "")
        assert len(reply(client, 1).items[0].sku) == 200_000


async def test_a_window_that_settings_made_negative_is_waited_for() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        listener.desk.large["one"] = 60_000
        listener.desk.gates["one"] = asyncio.Event()
        client.send(call(1, "one"), frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}))
        await client.until(frames.SETTINGS, flags=frames.ACK, nth=2)
        listener.desk.gates["one"].set()
        await client.until(frames.HEADERS, 1)
        client.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 70_000}))
        assert await client.status(1) == (Code.OK, "")


async def test_answers_that_nobody_reads_are_bounded() -> None:
    first = frames.PREFACE + frames.settings({Setting.INITIAL_WINDOW_SIZE: 0})
    async with listening() as listener, raw_client(listener.port, first) as client:
        streams = range(1, 2 * (MAX_BUFFERED_BYTES // 1_000_000 + 3), 2)
        listener.desk.large = {str(stream): 1_000_000 for stream in streams}
        client.send(*(call(stream, str(stream)) for stream in streams))
        assert (await client.status(streams[-1]))[0] == Code.RESOURCE_EXHAUSTED
        listener.check(MAX_CALL_S + 1)
        for stream in streams[:8]:
            assert int.from_bytes(await client.until(frames.RST_STREAM, stream), "big") == ErrorCode.CANCEL


async def test_a_client_that_reads_nothing_is_not_read_either_and_dropped() -> None:
    async with listening() as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1)  # and nobody reads
        writer.write(frames.PREFACE + frames.settings({Setting.INITIAL_WINDOW_SIZE: frames.MAX_WINDOW}))
        writer.write(frames.window_update(0, 1 << 30))
        listener.desk.large = {str(number): 1_000_000 for number in range(40)}
        writer.write(b"".join(call(2 * number + 1, str(number)) for number in range(40)))
        await until(lambda: any(one._paused_at for one in listener.connections))
        begun = len(listener.desk.begun)
        writer.write(call(101, "more"))
        listener.check(SEND_S + 1)
        await until(lambda: not listener.connections)
        assert len(listener.desk.begun) == begun
        writer.close()


async def test_an_answer_after_the_deadline_is_not_sent_and_its_work_is_done() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        gate = listener.desk.gates["late"] = asyncio.Event()
        client.send(call(1, "late", grpc_timeout="20m"))
        await until(lambda: listener.desk.begun == ["late"])
        await asyncio.sleep(0.03)
        gate.set()
        assert (await client.status(1))[0] == Code.DEADLINE_EXCEEDED
        assert listener.desk.finished == ["late"]
        assert not [1 for kind, *_ in client.received if kind == frames.DATA]


TIMEOUTS = {"1H": MAX_CALL_S, "2M": 120.0, "3S": 3.0, "4m": 0.004, "5u": 5e-6, "6n": 6e-9, "0S": 0.0}
NO_TIMEOUTS = ("", "S", "1", "x1S", "1X", "-1S", "123456789S", "²S")


@pytest.mark.parametrize(("field", "seconds"), [*TIMEOUTS.items(), *((field, MAX_CALL_S) for field in NO_TIMEOUTS)])
def test_timeouts_are_read(field: str, seconds: float) -> None:
    assert timeout_s_of(field.encode("latin-1")) == pytest.approx(seconds)


async def test_reset_and_lost_calls_are_completed() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        gate = asyncio.Event()
        listener.desk.gates = {"reset": gate, "lost": gate}
        client.send(call(1, "reset"), call(3, "lost"))
        await until(lambda: len(listener.desk.begun) == 2)
        client.send(frames.reset(1, ErrorCode.CANCEL), ping())
        await client.until(frames.PING)
        await client.close()
        gate.set()
        await until(lambda: len(listener.desk.finished) == 2)
        await until(lambda: not listener.connections)


async def test_a_call_without_an_end_is_cancelled_long_after_its_deadline() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        listener.desk.gates["stuck"] = asyncio.Event()
        client.send(call(1, "stuck", grpc_timeout="1S"))
        await until(lambda: listener.desk.begun == ["stuck"])
        listener.check(ABANDON_S)
        await asyncio.sleep(0)
        assert listener.desk.cancelled == []
        lines: list[str] = []
        with capture(lambda _, event, __: lines.append(event)):
            listener.check(ABANDON_S + 2)
            await client.until(frames.RST_STREAM, 1)
        assert lines == ["call_abandoned"]
        await until(lambda: listener.desk.cancelled == ["stuck"])
        client.send(call(3, "next"))
        assert await client.status(3) == (Code.OK, "")


async def test_a_request_that_does_not_end_is_reset_at_its_deadline() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(head(1, grpc_timeout="1S"), data(1, b"\0", end=False), ping())
        await client.until(frames.PING)
        listener.check(2.0)
        assert int.from_bytes(await client.until(frames.RST_STREAM, 1), "big") == ErrorCode.CANCEL


@pytest.mark.parametrize("first", [b"", frames.PREFACE, frames.PREFACE + frames.settings({})[:5]])
async def test_a_client_that_does_not_greet_is_dropped(first: bytes) -> None:
    async with listening() as listener, raw_client(listener.port, first) as client:
        await client.until(frames.SETTINGS)
        listener.check(HANDSHAKE_S - 1)
        assert not client.ended.is_set()
        listener.check(HANDSHAKE_S + 1)
        await asyncio.wait_for(client.ended.wait(), PATIENCE_S)


async def test_a_silent_client_is_pinged_and_dropped_if_it_stays_silent() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(call(1, "one"))
        await client.status(1)
        listener.check(PING_AFTER_S + 1)
        payload = await client.until(frames.PING)
        client.send(ping(payload, frames.ACK), call(3, "two"))
        await client.status(3)
        listener.check(PING_S + 1)
        assert not client.ended.is_set()
        listener.check(PING_AFTER_S + 1)
        await client.until(frames.PING, nth=2)
        listener.check(PING_AFTER_S + PING_S + 2)
        await asyncio.wait_for(client.ended.wait(), PATIENCE_S)


async def test_pings_are_answered_alike() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        client.send(ping(b"whatever"))
        assert await client.until(frames.PING, flags=frames.ACK) == b"whatever"


async def test_at_the_limit_the_longest_idle_connection_makes_room_and_a_busy_one_does_not() -> None:
    async with listening() as listener, raw_client(listener.port) as busy:
        listener.desk.gates["held"] = asyncio.Event()
        busy.send(call(1, "held"))
        await until(lambda: listener.desk.begun == ["held"])
        others = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(MAX_CONNECTIONS - 1)]
        await until(lambda: len(listener.connections) == MAX_CONNECTIONS)
        async with raw_client(listener.port) as late:
            late.send(call(1, "late"))
            assert await late.status(1) == (Code.OK, "")
            await until(lambda: len(listener.connections) == MAX_CONNECTIONS)
            listener.desk.gates["held"].set()
            assert await busy.status(1) == (Code.OK, "")
        for _, writer in others:
            writer.close()


async def test_the_last_answers_of_a_drain_arrive_and_later_calls_are_left_alone() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        gate = asyncio.Event()
        listener.desk.gates = {"held": gate, "crossing": gate}
        client.send(call(1, "held"))
        await until(lambda: listener.desk.begun == ["held"])
        (connection,) = listener.connections
        connection.drain()
        assert (await client.until(frames.GOAWAY))[:4] == b"\x7f\xff\xff\xff"
        payload = await client.until(frames.PING)
        client.send(call(3, "crossing"), ping(payload, frames.ACK))
        assert (await client.until(frames.GOAWAY, nth=2))[:4] == b"\0\0\0\3"
        client.send(call(5, "too late"))
        gate.set()
        for stream in (1, 3):
            assert await client.status(stream) == (Code.OK, "")
        await asyncio.wait_for(client.ended.wait(), PATIENCE_S)
        assert listener.desk.begun == ["held", "crossing"]


async def test_an_unknown_method_is_unimplemented() -> None:
    async with listening() as listener, raw_client(listener.port) as client:
        for stream, path in ((1, GET_ORDER + "s"), (3, "/"), (5, "x")):
            client.send(call(stream, "one", p_path=path))
            assert (await client.status(stream))[0] == Code.UNIMPLEMENTED
