"""Our client against a server of gRPC's own library; what is promised of both transports is tried with both."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from autogrocery.kit.rpc.channel import Transport, open_channel
from autogrocery.kit.rpc.status import MAX_MESSAGE_BYTES, Code, RpcError
from autogrocery.lab.ports import free_ports
from tests.harness.grpc_client import code_of, when_ready
from tests.harness.grpcio_server import serving_grpcio

pytestmark = pytest.mark.usefixtures("no_lost_exceptions")
TIMEOUT_S = 10.0
BOTH = pytest.mark.parametrize("transport", ["h2", "grpcio"])


@BOTH
async def test_reply_is_returned(transport: Transport) -> None:
    async with serving_grpcio() as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        echo = channel.raw("/desk/echo")
        assert [await echo(message, timeout_s=TIMEOUT_S) for message in (b"", b"hello")] == [b"", b"hello"]


@BOTH
@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_status_and_detail_are_raised(code: Code, transport: Transport) -> None:
    async with serving_grpcio() as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.raw("/desk/fail")(f"{code:d}:größer als 100 %\n".encode(), timeout_s=TIMEOUT_S)
    assert (caught.value.code, caught.value.detail) == (code, "größer als 100 %\n")


@BOTH
async def test_status_without_a_message_is_raised(transport: Transport) -> None:
    async with serving_grpcio() as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        with pytest.raises(RpcError, match="NOT_FOUND: not here"):
            await channel.raw("/desk/refuse")(b"", timeout_s=TIMEOUT_S)


@BOTH
async def test_unknown_method_is_unimplemented(transport: Transport) -> None:
    async with serving_grpcio() as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        assert await code_of(channel.raw("/desk/none")(b"", timeout_s=TIMEOUT_S)) is Code.UNIMPLEMENTED
        assert await code_of(channel.raw("/nobody/echo")(b"", timeout_s=TIMEOUT_S)) is Code.UNIMPLEMENTED


@BOTH
async def test_token_and_deadline_reach_the_server(transport: Transport) -> None:
    async with serving_grpcio() as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        tell = channel.raw("/desk/tell")
        assert await tell(b"", timeout_s=7.5, token="a" * 500) == repr((f"Bearer {'a' * 500}", 7.5)).encode()
        assert await tell(b"", timeout_s=7.5) == repr((None, 7.5)).encode()


@BOTH
async def test_large_messages_pass_the_windows_both_ways(transport: Transport) -> None:
    async with serving_grpcio() as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        message = bytes(range(256)) * (MAX_MESSAGE_BYTES // 256)
        echo = channel.raw("/desk/echo")
        replies = await asyncio.gather(*(echo(message[one:], timeout_s=TIMEOUT_S) for one in range(40)))
        assert replies == [message[one:] for one in range(40)]


@BOTH
async def test_message_beyond_the_bound_is_an_error_and_no_other_call_suffers(transport: Transport) -> None:
    async with serving_grpcio() as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        large, echo = channel.raw("/desk/large"), channel.raw("/desk/echo")
        calls = large(b"%d" % (MAX_MESSAGE_BYTES + 1), timeout_s=TIMEOUT_S), echo(b"small", timeout_s=TIMEOUT_S)
        too_large, small = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(too_large, RpcError)
        assert (too_large.code, small) == (Code.RESOURCE_EXHAUSTED, b"small")
        assert await code_of(echo(b"x" * (5 << 20), timeout_s=TIMEOUT_S)) is Code.RESOURCE_EXHAUSTED


@BOTH
async def test_compressed_reply_is_understood(transport: Transport) -> None:
    compressing = serving_grpcio(compression=grpc.Compression.Gzip)
    async with compressing as (_, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        assert await channel.raw("/desk/large")(b"5000", timeout_s=TIMEOUT_S) == b"x" * 5_000


async def test_five_hundred_calls_pass_a_server_that_allows_ten_at_once() -> None:
    """The fallback without retries ends some of them: this server refuses a stream while it forgets the one before."""
    serving = serving_grpcio(max_concurrent_streams=10)
    async with serving as (desk, port), open_channel(f"127.0.0.1:{port}") as channel:
        pause = channel.raw("/desk/pause")
        replies = await asyncio.gather(*(pause(b"%d" % one, timeout_s=TIMEOUT_S) for one in range(500)))
        assert replies == [b"%d" % one for one in range(500)]
        assert desk.most_at_once <= 10


@BOTH
async def test_deadline_ends_the_call_and_the_work_for_it(transport: Transport) -> None:
    async with serving_grpcio() as (desk, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        await channel.raw("/desk/echo")(b"", timeout_s=TIMEOUT_S)
        began = time.monotonic()
        assert await code_of(channel.raw("/desk/wait")(b"", timeout_s=0.2)) is Code.DEADLINE_EXCEEDED
        assert 0.199 <= time.monotonic() - began < 0.4
        await asyncio.wait_for(desk.cancelled.wait(), TIMEOUT_S)


@BOTH
async def test_cancelled_caller_ends_the_work_for_it(transport: Transport) -> None:
    async with serving_grpcio() as (desk, port), open_channel(f"127.0.0.1:{port}", transport=transport) as channel:
        call = asyncio.ensure_future(channel.raw("/desk/wait")(b"", timeout_s=TIMEOUT_S))
        await asyncio.wait_for(desk.begun.wait(), TIMEOUT_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(desk.cancelled.wait(), TIMEOUT_S)


@BOTH
async def test_stopping_server_answers_what_it_has_begun(transport: Transport) -> None:
    async with open_channel(f"127.0.0.1:{(port := free_ports(1)[0])}", transport=transport) as channel:
        async with serving_grpcio(port=port) as (desk, _):
            wait = channel.raw("/desk/wait")
            calls = [asyncio.ensure_future(wait(b"%d" % one, timeout_s=TIMEOUT_S)) for one in range(20)]
            await asyncio.wait_for(desk.begun.wait(), TIMEOUT_S)
            await channel.raw("/desk/echo")(b"", timeout_s=TIMEOUT_S)
            asyncio.get_running_loop().call_later(0.2, desk.go_on.set)  # after it has sent GOAWAY
        assert await asyncio.gather(*calls) == [b"%d" % one for one in range(20)]
        assert await code_of(channel.raw("/desk/echo")(b"", timeout_s=TIMEOUT_S)) is Code.UNAVAILABLE


@BOTH
async def test_restarted_server_is_found_again(transport: Transport) -> None:
    async with open_channel(f"127.0.0.1:{(port := free_ports(1)[0])}", transport=transport) as channel:
        echo = channel.raw("/desk/echo")
        assert await code_of(echo(b"", timeout_s=TIMEOUT_S)) is Code.UNAVAILABLE
        for _ in range(3):
            async with serving_grpcio(port=port):
                assert await when_ready(lambda: echo(b"again", timeout_s=TIMEOUT_S)) == b"again"
            assert await code_of(echo(b"", timeout_s=TIMEOUT_S)) is Code.UNAVAILABLE


async def test_graceful_end_of_an_old_connection_costs_no_call() -> None:
    """Servers end connections by their age: GOAWAY while calls come and go."""
    serving = serving_grpcio(max_connection_age_ms=100, max_connection_age_grace_ms=5_000)
    async with serving as (_, port), open_channel(f"127.0.0.1:{port}") as channel:
        pause, until = channel.raw("/desk/pause"), time.monotonic() + 1.0
        while time.monotonic() < until:
            assert await asyncio.gather(*(pause(b"x", timeout_s=TIMEOUT_S) for _ in range(20))) == [b"x"] * 20
