"""Whatever bytes a server sends, in whatever pieces: a call ends with a reply or RpcError, within its deadline."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autogrocery.kit.rpc import frames
from autogrocery.kit.rpc.channel import Channel
from autogrocery.kit.rpc.frames import ErrorCode, Setting, frame
from autogrocery.kit.rpc.header_blocks import encode
from autogrocery.kit.rpc.status import RpcError
from tests.harness.raw_http2 import GRPC, OK, SETTINGS, answer_of, headers

TIMEOUT_S = 0.3
LATE_S = 1.5  # on a machine that does something else
CALLS = 3
STREAMS = st.sampled_from([0, 1, 3, 5, 2, 99])
SENSIBLE = st.one_of(
    st.just(SETTINGS),
    st.just(frames.SETTINGS_ACK),
    st.builds(answer_of, STREAMS),
    st.builds(lambda stream: answer_of(stream, {b"grpc-status": b"14"}), STREAMS),
    st.builds(lambda stream, end: headers(stream, GRPC, end=end), STREAMS, st.booleans()),
    st.builds(lambda stream: headers(stream, OK, end=True), STREAMS),
    st.builds(lambda stream: headers(stream, {b":status": b"100"}, end=False), STREAMS),
    st.builds(frames.reset, STREAMS, st.sampled_from(ErrorCode)),
    st.builds(frames.goaway, STREAMS, st.sampled_from(ErrorCode)),
    st.builds(frames.window_update, STREAMS, st.integers(0, frames.MAX_WINDOW)),
    st.builds(lambda name, value: frames.settings({name: value}), st.sampled_from(Setting), st.integers(0, 1 << 31)),
)
ANY_FRAME = st.builds(frame, st.integers(0, 12), st.integers(0, 255), STREAMS, st.binary(max_size=40))
ANY_BLOCK = st.builds(frame, st.just(frames.HEADERS), st.sampled_from([4, 5]), STREAMS, st.binary(max_size=60))
FIELDS = st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=4)
ODD_FIELDS = st.builds(lambda stream, fields: frame(1, 5, stream, encode(fields)), STREAMS, FIELDS)
PIECES = st.lists(st.one_of(SENSIBLE, SENSIBLE, ANY_FRAME, ANY_BLOCK, ODD_FIELDS, st.binary(max_size=30)), max_size=12)


async def outcomes(script: list[bytes], cut: int, *, greets: bool, closes: bool) -> None:
    """Make CALLS calls to a server that sends a script in pieces of `cut` bytes to every connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(SETTINGS if greets else b"")
            await reader.read(1 << 16)
            data = b"".join(script)
            for start in range(0, len(data), cut):
                writer.write(data[start : start + cut])
                await writer.drain()
                await asyncio.sleep(0)
            while not closes and await reader.read(1 << 16):
                pass
        writer.close()

    async def call(channel: Channel) -> bytes | RpcError:
        began = time.monotonic()
        try:
            return bytes(await channel.raw("/desk/echo")(b"hello", timeout_s=TIMEOUT_S))
        except RpcError as error:
            return error
        finally:
            assert time.monotonic() - began < TIMEOUT_S + LATE_S

    lost: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        channel = Channel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for found in await asyncio.gather(*(call(channel) for _ in range(CALLS))):
            assert found == b"" or isinstance(found, RpcError)
        await channel.close()
        assert not channel._live
        assert not channel._waiting
        assert not channel._connections
    assert lost == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PIECES, st.sampled_from([1, 3, 10, 1 << 16]), st.booleans(), st.booleans())
def test_any_script_ends_every_call_cleanly(script: list[bytes], cut: int, greets: bool, closes: bool) -> None:
    asyncio.run(outcomes(script, cut, greets=greets, closes=closes))
