"""A channel against a server that does what a test wants: what is repeated, what is not, and every bound."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.kit.process.run import StartError
from autogrocery.kit.rpc import channel as channels
from autogrocery.kit.rpc import connection as connections
from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.channel import Channel, open_channel
from autogrocery.kit.rpc.frames import ErrorCode, Setting, frame
from autogrocery.kit.rpc.header_blocks import encode
from autogrocery.kit.rpc.status import Code, RpcError
from tests.harness.grpc_client import code_of
from tests.harness.raw_http2 import EMPTY_MESSAGE, END, GRPC, OK, SETTINGS, answer_of, headers, serving_raw
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.raw_http2 import Session

pytestmark = pytest.mark.usefixtures("no_lost_exceptions")
TIMEOUT_S = 10.0
SHORT_S = 0.2
REPLY = b"\0\0\0\0\x02ok"
PATH = "/desk/echo"


def silent(_session: Session, _stream: int) -> bytes:
    return b""


def replying(_session: Session, stream: int) -> bytes:
    return answer_of(stream, OK, REPLY)


async def ask(port: int, timeout_s: float = TIMEOUT_S) -> Any:
    async with open_channel(f"127.0.0.1:{port}") as channel:
        return await channel.raw(PATH)(b"hello", timeout_s=timeout_s)


async def error_of(port: int, timeout_s: float = TIMEOUT_S) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await ask(port, timeout_s)
    return caught.value


def after(first: Callable[[int], bytes]) -> Callable[[Session, int], bytes]:
    """Answer the first request of the server's life with `first`, the others with a reply."""
    left = [first]
    return lambda _, stream: left.pop()(stream) if left else answer_of(stream, OK, REPLY)


# What the answer looks like.


SPLIT = encode(GRPC.items())
FORMS: dict[str, Callable[[int], bytes]] = {
    "padded": lambda stream: (
        headers(stream, GRPC, end=False)
        + frame(frames.DATA, frames.PADDED, stream, b"\x03" + REPLY + b"zzz")
        + headers(stream, OK, end=True)
    ),
    "in bytes": lambda stream: (
        headers(stream, GRPC, end=False)
        + b"".join(frame(frames.DATA, 0, stream, bytes((octet,))) for octet in REPLY)
        + headers(stream, OK, end=True)
    ),
    "continued": lambda stream: (
        frame(frames.HEADERS, 0, stream, SPLIT[:5])
        + frame(frames.CONTINUATION, frames.END_HEADERS, stream, SPLIT[5:])
        + frame(frames.DATA, 0, stream, REPLY)
        + headers(stream, OK, end=True)
    ),
    "after 103": lambda stream: headers(stream, {b":status": b"103"}, end=False) + answer_of(stream, OK, REPLY),
    "with odd frames": lambda stream: (
        frame(0x42, 0xFF, stream, b"of an extension")
        + frame(frames.PRIORITY, 0, stream, b"\0\0\0\0\x10")
        + answer_of(stream, OK, REPLY)
        + frame(frames.RST_STREAM, 0, stream, bytes(4))
    ),
}


@pytest.mark.parametrize("form", FORMS)
async def test_reply_in_every_form_of_http2_is_returned(form: str) -> None:
    async with serving_raw(lambda _, stream: FORMS[form](stream)) as raw:
        assert await ask(raw.port) == b"ok"


BROKEN: dict[str, tuple[Callable[[int], bytes], Code]] = {
    "a message before its header": (lambda stream: frame(frames.DATA, 0, stream, REPLY), Code.INTERNAL),
    "trailers without an end": (
        lambda stream: headers(stream, GRPC, end=False) + headers(stream, OK, end=False),
        Code.INTERNAL,
    ),
    "103 as the end": (lambda stream: headers(stream, {b":status": b"103"}, end=True), Code.INTERNAL),
    "no :status": (lambda stream: headers(stream, OK, end=True), Code.INTERNAL),
    "upper case": (lambda stream: headers(stream, GRPC | {b"Grpc-Status": b"0"}, end=True), Code.INTERNAL),
    "half a prefix": (lambda stream: answer_of(stream, OK, b"\0\0"), Code.INTERNAL),
    "an end without trailers": (
        lambda stream: headers(stream, GRPC, end=False) + frame(frames.DATA, END, stream, REPLY),
        Code.UNKNOWN,
    ),
    "compressed by nobody": (lambda stream: answer_of(stream, OK, b"\1\0\0\0\x02ok"), Code.INTERNAL),
    "a message without an end": (
        lambda stream: headers(stream, GRPC, end=False) + frame(frames.DATA, 0, stream, bytes(1 << 14)) * 65,
        Code.RESOURCE_EXHAUSTED,
    ),
    "CANCEL": (lambda stream: frames.reset(stream, ErrorCode.CANCEL), Code.CANCELLED),
    "ENHANCE_YOUR_CALM": (lambda stream: frames.reset(stream, ErrorCode.ENHANCE_YOUR_CALM), Code.RESOURCE_EXHAUSTED),
    "INTERNAL_ERROR": (lambda stream: frames.reset(stream, ErrorCode.INTERNAL_ERROR), Code.INTERNAL),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_broken_answer_ends_its_call_and_not_the_connection(what: str) -> None:
    answer, code = BROKEN[what]
    async with serving_raw(after(answer)) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        assert await code_of(echo(b"", timeout_s=TIMEOUT_S)) is code
        assert await echo(b"", timeout_s=TIMEOUT_S) == b"ok"
        assert len(raw.sessions) == 1


MANY = frames.MAX_IDLE_FRAMES + 2 * frames.IDLE_FRAMES_PER_CALL
HOSTILE: dict[str, tuple[Callable[[int], bytes], ErrorCode]] = {
    "pings": (lambda _: frame(frames.PING, 0, 0, bytes(8)) * MANY, ErrorCode.ENHANCE_YOUR_CALM),
    "settings": (lambda _: SETTINGS * MANY, ErrorCode.ENHANCE_YOUR_CALM),
    "acknowledgements": (lambda _: frames.SETTINGS_ACK * MANY, ErrorCode.ENHANCE_YOUR_CALM),
    "empty data": (
        lambda stream: headers(stream, GRPC, end=False) + frame(frames.DATA, 0, stream) * MANY,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "interim responses": (
        lambda stream: headers(stream, {b":status": b"103"}, end=False) * MANY,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "resets": (
        lambda stream: frames.reset(stream, ErrorCode.CANCEL) * MANY,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "continuations": (
        lambda stream: frame(frames.HEADERS, 0, stream, b"") + frame(frames.CONTINUATION, 0, stream) * MANY,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "a stream that was never opened": (lambda _: headers(99, GRPC, end=False), ErrorCode.PROTOCOL_ERROR),
    "a stream of its own": (lambda _: headers(2, GRPC, end=False), ErrorCode.PROTOCOL_ERROR),
    "a push": (lambda stream: frame(frames.PUSH_PROMISE, 4, stream, b"\0\0\0\x02"), ErrorCode.PROTOCOL_ERROR),
    "an index of nothing": (lambda stream: frame(frames.HEADERS, 4, stream, b"\xff\x10"), ErrorCode.COMPRESSION_ERROR),
    "no more window": (lambda _: frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
    "a window beyond all": (lambda _: frames.window_update(0, (1 << 31) - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "settings out of range": (
        lambda _: frames.settings({Setting.MAX_FRAME_SIZE: 5}),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "another protocol": (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", ErrorCode.FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_frames_end_the_connection_with_the_reason(what: str) -> None:
    hostile, code = HOSTILE[what]
    async with serving_raw(after(hostile)) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        assert await code_of(echo(b"", timeout_s=TIMEOUT_S)) in {Code.UNAVAILABLE, Code.CANCELLED}
        await until(lambda: raw.sessions[0].of(frames.GOAWAY))
        assert raw.sessions[0].of(frames.GOAWAY)[-1][3][4:] == code.to_bytes(4, "big")


# What is made again, and what is not.


async def test_refused_call_is_made_again() -> None:
    async with serving_raw(after(lambda stream: frames.reset(stream, ErrorCode.REFUSED_STREAM))) as raw:
        assert await ask(raw.port) == b"ok"
        assert (raw.requests, len(raw.sessions)) == (2, 1)


async def test_call_that_is_always_refused_is_unavailable() -> None:
    async with serving_raw(lambda _, stream: frames.reset(stream, ErrorCode.REFUSED_STREAM)) as raw:
        assert (await error_of(raw.port)).code is Code.UNAVAILABLE
        assert raw.requests == channels.MAX_ATTEMPTS


async def test_call_above_the_last_stream_of_goaway_is_made_again_elsewhere() -> None:
    def answer(_session: Session, stream: int) -> bytes:
        if len(raw.sessions) == 1 and stream == 5:
            return frames.goaway(3, ErrorCode.NO_ERROR) + answer_of(3, OK, REPLY)
        return b"" if (len(raw.sessions), stream) == (1, 3) else answer_of(stream, OK, REPLY)

    async with serving_raw(answer) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        assert await echo(b"", timeout_s=TIMEOUT_S) == b"ok"
        assert await asyncio.gather(*(echo(b"", timeout_s=TIMEOUT_S) for _ in range(2))) == [b"ok", b"ok"]
        assert [len(session.of(frames.HEADERS)) for session in raw.sessions] == [3, 1]
        await until(lambda: raw.sessions[0].of(frames.GOAWAY))  # and the first connection is closed


async def test_graceful_goaway_keeps_the_calls_in_flight() -> None:
    graceful = frames.goaway(frames.LAST_STREAM, ErrorCode.NO_ERROR)
    async with serving_raw(after(lambda stream: graceful + answer_of(stream, OK, REPLY))) as raw:
        assert await ask(raw.port) == b"ok"


async def test_call_below_the_last_stream_of_goaway_is_never_made_again() -> None:
    def answer(_session: Session, stream: int) -> bytes | None:
        return None if raw.requests > 1 else frames.goaway(stream, ErrorCode.INTERNAL_ERROR) + b"\0\0\0"

    async with serving_raw(answer) as raw:
        error = await error_of(raw.port, SHORT_S)
        assert (error.code, raw.requests) == (Code.DEADLINE_EXCEEDED, 1)


async def test_sent_call_whose_connection_is_lost_is_unavailable_and_never_made_again() -> None:
    async with serving_raw(lambda _session, _stream: None) as raw:
        assert (await error_of(raw.port)).code is Code.UNAVAILABLE
        assert raw.requests == 1


async def test_refusal_after_an_answer_began_is_unavailable() -> None:
    def answer(_session: Session, stream: int) -> bytes:
        return headers(stream, GRPC, end=False) + frames.reset(stream, ErrorCode.REFUSED_STREAM)

    async with serving_raw(answer) as raw:
        assert (await error_of(raw.port)).code is Code.UNAVAILABLE
        assert raw.requests == 1


# Connections.


async def test_target_without_listener_is_unavailable_at_once_and_then_without_trying() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        began = time.monotonic()
        for _ in range(20):
            assert await code_of(channel.raw(PATH)(b"", timeout_s=TIMEOUT_S)) is Code.UNAVAILABLE
        assert time.monotonic() - began < 1.0


async def test_server_that_accepts_and_leaves_is_not_stormed() -> None:
    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connects.append(time.monotonic())
        writer.close()

    connects: list[float] = []
    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    async with server, open_channel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as channel:
        while not connects or time.monotonic() < connects[0] + 0.5:
            assert await code_of(channel.raw(PATH)(b"", timeout_s=TIMEOUT_S)) is Code.UNAVAILABLE
            await asyncio.sleep(0)
    assert 2 <= len(connects) <= 8


async def test_server_that_says_nothing_fails_the_calls_within_the_time_to_connect() -> None:
    async with serving_raw(silent, first=b"") as raw:
        began = time.monotonic()
        assert (await error_of(raw.port)).code is Code.UNAVAILABLE
        assert time.monotonic() - began < channels.CONNECT_S + 1.0


async def test_silent_connection_is_pinged_and_given_up() -> None:
    async with serving_raw(silent) as raw:
        channel = Channel(f"127.0.0.1:{raw.port}", ping_every_s=0.1)
        error = None
        try:
            await channel.raw(PATH)(b"", timeout_s=TIMEOUT_S)
        except RpcError as caught:
            error = caught
        assert error is not None
        assert (error.code, error.detail) == (Code.UNAVAILABLE, "the peer is silent")
        assert len(raw.sessions[0].of(frames.PING)) == 1
        await channel.close()


async def test_connection_without_calls_is_not_pinged() -> None:
    async with serving_raw(replying) as raw:
        channel = Channel(f"127.0.0.1:{raw.port}", ping_every_s=0.05)
        for _ in range(2):
            assert await channel.raw(PATH)(b"", timeout_s=TIMEOUT_S) == b"ok"
            await asyncio.sleep(0.3)
        assert (len(raw.sessions), raw.sessions[0].of(frames.PING)) == (1, [])
        await channel.close()


async def test_ping_is_answered_with_its_content() -> None:
    async with serving_raw(after(lambda stream: frame(frames.PING, 0, 0, b"12345678") + replying(None, stream))) as raw:  # type: ignore[arg-type]
        assert await ask(raw.port) == b"ok"
        assert raw.sessions[0].of(frames.PING) == [(frames.PING, frames.ACK, 0, b"12345678")]


async def test_closing_ends_what_is_in_flight_and_what_follows() -> None:
    async with serving_raw(silent) as raw:
        async with open_channel(f"127.0.0.1:{raw.port}") as channel:
            call = asyncio.ensure_future(channel.raw(PATH)(b"", timeout_s=TIMEOUT_S))
            await until(lambda: raw.requests)
        assert await code_of(call) is Code.UNAVAILABLE
        assert await code_of(channel.raw(PATH)(b"", timeout_s=TIMEOUT_S)) is Code.UNAVAILABLE


@pytest.mark.parametrize("target", ["xds:///inventory", "vsock:1:2", "dns://8.8.8.8/inventory:1", "ipv4:a:1,b:2"])
async def test_target_that_only_grpcio_knows_is_refused(target: str) -> None:
    with pytest.raises(StartError, match="only the transport grpcio"):
        Channel(target)


@pytest.mark.parametrize("target", ["dns:///localhost:{}", "dns:localhost:{}", "ipv4:127.0.0.1:{}", "localhost:{}"])
async def test_names_of_grpc_are_understood(target: str) -> None:
    async with serving_raw(replying) as raw, open_channel(target.format(raw.port)) as channel:
        assert await channel.raw(PATH)(b"", timeout_s=TIMEOUT_S) == b"ok"


# Flow control and bounds.


async def test_message_waits_for_the_windows_of_its_peer() -> None:
    small = frames.settings({Setting.INITIAL_WINDOW_SIZE: 10})

    async def widen() -> None:
        session = raw.sessions[0]
        await until(lambda: session.of(frames.DATA))
        session.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 4}))  # its window is now -6
        for _ in range(20):
            session.send(frames.window_update(stream := 1, 8) + frames.window_update(0, 8))
            await asyncio.sleep(0.005)
        assert [one[2] for one in session.of(frames.DATA)] == [stream] * len(session.of(frames.DATA))

    async with serving_raw(replying, first=small) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        call = asyncio.ensure_future(channel.raw(PATH)(b"m" * 100, timeout_s=TIMEOUT_S))
        await until(lambda: raw.sessions)
        await widen()
        assert await call == b"ok"
        parts = [one[3] for one in raw.sessions[0].of(frames.DATA)]
        assert (len(parts[0]), b"".join(parts)[5:]) == (10, b"m" * 100)


async def test_call_given_back_before_it_left_wholly_leaves_on_its_new_connection_only() -> None:
    def answer(_session: Session, stream: int) -> bytes:
        return answer_of(stream, OK, REPLY)

    small = frames.settings({Setting.INITIAL_WINDOW_SIZE: 10})
    async with serving_raw(answer, first=small) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        assert await echo(b"", timeout_s=TIMEOUT_S) == b"ok"
        first = raw.sessions[0]
        kept = asyncio.ensure_future(code_of(echo(b"k" * 100, timeout_s=TIMEOUT_S)))
        call = asyncio.ensure_future(echo(b"m" * 100, timeout_s=TIMEOUT_S))
        await until(lambda: len(first.of(frames.DATA)) == 3)
        first.send(frames.goaway(3, ErrorCode.NO_ERROR))
        await until(lambda: len(raw.sessions) == 2 and raw.sessions[1].of(frames.DATA))
        first.send(frames.window_update(3, 1_000) + frames.window_update(5, 1_000))
        raw.sessions[1].send(frames.window_update(1, 1_000))
        assert (await call, await kept) == (b"ok", Code.OK)
        assert b"".join(one[3] for one in first.of(frames.DATA) if one[2] == 5) == b"\0\0\0\0dmmmmm"
        assert b"".join(one[3] for one in raw.sessions[1].of(frames.DATA)) == b"\0\0\0\0d" + b"m" * 100


async def test_connection_without_stream_ids_left_is_followed_by_another() -> None:
    async with serving_raw(replying) as raw:
        channel = Channel(f"127.0.0.1:{raw.port}")
        assert await channel.raw(PATH)(b"", timeout_s=TIMEOUT_S) == b"ok"
        assert channel._current is not None
        channel._current._next_stream = frames.LAST_STREAM - 2
        for _ in range(3):
            assert await channel.raw(PATH)(b"", timeout_s=TIMEOUT_S) == b"ok"
        assert [session.of(frames.HEADERS)[-1][2] for session in raw.sessions] == [frames.LAST_STREAM, 1]
        await channel.close()


async def test_answer_before_the_whole_request_ends_the_request() -> None:
    none = frames.settings({Setting.INITIAL_WINDOW_SIZE: 0})

    async def answer() -> None:
        await until(lambda: raw.sessions and raw.sessions[0].of(frames.HEADERS))
        raw.sessions[0].send(answer_of(1, OK, REPLY))

    async with serving_raw(silent, first=none) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        answering = asyncio.ensure_future(answer())
        assert await channel.raw(PATH)(b"hello", timeout_s=TIMEOUT_S) == b"ok"
        await answering
        await until(lambda: raw.sessions[0].of(frames.RST_STREAM))


async def test_calls_beyond_the_peers_limit_wait_and_more_than_the_queue_holds_are_refused() -> None:
    one = frames.settings({Setting.MAX_CONCURRENT_STREAMS: 1})
    async with serving_raw(silent, first=one) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        first = asyncio.ensure_future(code_of(echo(b"", timeout_s=TIMEOUT_S)))
        await until(lambda: raw.requests)
        waiting = [asyncio.ensure_future(code_of(echo(b"", timeout_s=1.0))) for _ in range(channels.MAX_WAITING + 3)]
        codes = await asyncio.gather(*waiting)
        assert codes.count(Code.RESOURCE_EXHAUSTED) == 3
        assert codes.count(Code.DEADLINE_EXCEEDED) == channels.MAX_WAITING
        assert raw.requests == 1
        raw.sessions[0].send(answer_of(1, OK, REPLY))
        assert await first is Code.OK


async def test_token_that_fits_no_frame_costs_its_own_call_only() -> None:
    async with serving_raw(replying) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        calls = echo(b"", timeout_s=TIMEOUT_S, token="x" * 20_000), echo(b"", timeout_s=TIMEOUT_S, token="x" * 16_000)
        too_large, reply = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(too_large, RpcError)
        assert (too_large.code, reply) == (Code.RESOURCE_EXHAUSTED, b"ok")


async def test_cancelled_and_late_calls_give_up_their_places() -> None:
    two = frames.settings({Setting.MAX_CONCURRENT_STREAMS: 2})
    async with serving_raw(silent, first=two) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        late = asyncio.ensure_future(code_of(echo(b"", timeout_s=SHORT_S)))
        cancelled = asyncio.ensure_future(echo(b"", timeout_s=TIMEOUT_S))
        waiting = [asyncio.ensure_future(echo(b"", timeout_s=TIMEOUT_S)) for _ in range(2)]
        await until(lambda: raw.requests == 2)
        cancelled.cancel()
        assert await late is Code.DEADLINE_EXCEEDED
        await until(lambda: raw.requests == 4)
        resets = raw.sessions[0].of(frames.RST_STREAM)
        assert {one[2:] for one in resets} == {(1, b"\0\0\0\x08"), (3, b"\0\0\0\x08")}
        raw.sessions[0].send(answer_of(5, OK, REPLY) + answer_of(7, OK, REPLY))
        assert await asyncio.gather(*waiting) == [b"ok", b"ok"]


async def test_late_answers_of_dropped_calls_are_ignored() -> None:
    async with serving_raw(silent) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        assert await code_of(channel.raw(PATH)(b"", timeout_s=SHORT_S)) is Code.DEADLINE_EXCEEDED
        call = asyncio.ensure_future(channel.raw(PATH)(b"", timeout_s=TIMEOUT_S))
        await until(lambda: raw.requests == 2)
        raw.sessions[0].send(answer_of(1, OK, REPLY) + answer_of(3, OK, EMPTY_MESSAGE))
        assert await call == b""


async def test_deadlines_are_kept_to_a_few_milliseconds() -> None:
    async def lateness(timeout_s: float) -> float:
        began = time.monotonic()
        assert await code_of(channel.raw(PATH)(b"", timeout_s=timeout_s)) is Code.DEADLINE_EXCEEDED
        return time.monotonic() - began - timeout_s

    async with serving_raw(silent) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        await code_of(channel.raw(PATH)(b"", timeout_s=SHORT_S))
        found = sorted(await asyncio.gather(*(lateness(random.uniform(0.05, 0.5)) for _ in range(200))))
    assert found[0] >= -0.001
    assert found[100] < 0.01


async def test_window_is_extended_as_answers_come_and_not_for_answers_without_an_end() -> None:
    part = frame(frames.DATA, 0, 1, bytes(frames.MAX_FRAME_BYTES))
    size = connections.CONNECTION_WINDOW // 2
    async with serving_raw(replying) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        echo = channel.raw(PATH)
        assert await echo(b"", timeout_s=TIMEOUT_S) == b"ok"
        raw.sessions[0].send(part * (size // frames.MAX_FRAME_BYTES))  # of a stream that is over
        await until(lambda: len(raw.sessions[0].of(frames.WINDOW_UPDATE)) == 2)
        assert await echo(b"", timeout_s=TIMEOUT_S) == b"ok"


async def test_answers_that_hold_too_much_memory_end_the_connection() -> None:
    def answer(_session: Session, stream: int) -> bytes:
        part = frame(frames.DATA, 0, stream, bytes(frames.MAX_FRAME_BYTES))
        return headers(stream, GRPC, end=False) + part * 60

    async with serving_raw(answer) as raw, open_channel(f"127.0.0.1:{raw.port}") as channel:
        calls = (channel.raw(PATH)(b"", timeout_s=TIMEOUT_S) for _ in range(60))
        assert set(await asyncio.gather(*map(code_of, calls))) == {Code.UNAVAILABLE}
        await until(lambda: raw.sessions[0].of(frames.GOAWAY))
