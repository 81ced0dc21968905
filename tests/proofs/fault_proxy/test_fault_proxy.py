"""Each kind of network fault on an echo server, observed at both ends."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from autogrocery.lab.fault_proxy import NO_FAULTS, FaultProxy, NetworkFaults, open_proxy
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TIMEOUT_S = 10.0
MOMENT_S = 0.1  # how long to wait for something that must not happen
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(Struct):
    """Echoes what it reads, prefixed with its name; `reads` lists every read, `ends` how each connection ended."""

    name: bytes
    port: int
    reads: list[bytes]
    ends: asyncio.Queue[str]
    greeting: bytes


@asynccontextmanager
async def open_echo(name: bytes = b"", greeting: bytes = b"", path: str | None = None) -> AsyncIterator[Echo]:
    echo = Echo(name, 0, [], asyncio.Queue(), greeting)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(echo.greeting)
            while chunk := await reader.read(1 << 20):
                echo.reads.append(chunk)
                writer.write(echo.name + chunk)
                await writer.drain()
            echo.ends.put_nowait("end")
        except ConnectionError:
            echo.ends.put_nowait("reset")
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await (asyncio.start_unix_server(serve, path) if path else asyncio.start_server(serve, "127.0.0.1", 0))
    async with server:
        if not path:
            echo.port = server.sockets[0].getsockname()[1]
        yield echo


@asynccontextmanager
async def connect(proxy: FaultProxy) -> AsyncIterator[Streams]:
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def ask(streams: Streams, text: bytes, answer: bytes | None = None) -> bytes:
    reader, writer = streams
    writer.write(text)
    return await reader.readexactly(len(answer if answer is not None else text))


async def read_on(reader: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await reader.read(1):
        into.extend(chunk)


async def write_bytes(writer: asyncio.StreamWriter, count: int) -> None:
    """Write `count` bytes; raises TimeoutError when the peer has not read for ten MOMENT_S."""
    for _ in range(count >> 20):
        writer.write(b"x" * (1 << 20))
        async with asyncio.timeout(10 * MOMENT_S):
            await writer.drain()


async def silent(streams: Streams) -> bool:
    try:
        async with asyncio.timeout(MOMENT_S):
            await streams[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_without_faults_data_and_ends_of_stream_are_forwarded() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as (reader, writer):
        text = bytes(range(256)) * 8_192
        writer.write(text)
        writer.write_eof()
        assert await reader.read(-1) == text
        assert await echo.ends.get() == "end"
        assert (proxy.opened, proxy.broken) == (1, 0)


async def test_an_upstream_may_be_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "echo")
    async with open_echo(path=path), open_proxy(path) as proxy, connect(proxy) as streams:
        assert await ask(streams, b"milk") == b"milk"


async def test_latency_delays_both_directions() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as streams:
        proxy.faults = NetworkFaults(latency_s=0.1)
        begun = time.monotonic()
        assert await ask(streams, b"milk") == b"milk"
        assert time.monotonic() - begun >= 0.2


async def test_jitter_is_seeded() -> None:
    async def pauses(seed: int) -> list[float]:
        found = []
        async with (
            open_echo() as echo,
            open_proxy(("127.0.0.1", echo.port), seed=seed) as proxy,
            connect(proxy) as streams,
        ):
            proxy.faults = NetworkFaults(jitter_s=0.01)
            for _ in range(3):
                await ask(streams, b"milk")
            found.append(proxy._random.random())
        return found

    assert await pauses(1) == await pauses(1) != await pauses(2)


async def test_slices_arrive_in_pieces_and_in_order() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as streams:
        proxy.faults = NetworkFaults(slice_bytes=3)
        text = bytes(range(200))
        assert await ask(streams, text) == text
        assert b"".join(echo.reads) == text
        assert len(echo.reads) > 1


@pytest.mark.parametrize("after", [0, 3, 6])
async def test_reset_after_bytes_resets_both_ends_after_that_many(after: int) -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as streams:
        assert await ask(streams, b"calm") == b"calm"
        echo.reads.clear()
        proxy.faults = NetworkFaults(reset_after_bytes=after)
        streams[1].write(b"four")
        got = bytearray()
        with pytest.raises(ConnectionResetError):
            await read_on(streams[0], got)
        assert await echo.ends.get() == "reset"
        assert len(got) + len(b"".join(echo.reads)) == after
        assert proxy.broken == 1


async def test_reset_all_resets_the_upstream_connection() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as streams:
        await ask(streams, b"milk")
        assert proxy.reset_all() == 1
        with pytest.raises(ConnectionResetError):
            await streams[0].read(1)
        assert await echo.ends.get() == "reset"
        assert (proxy.reset_all(), proxy.broken) == (0, 1)


async def test_a_clients_reset_is_forwarded() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy:
        async with connect(proxy) as streams:
            await ask(streams, b"milk")
            streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            streams[1].transport.abort()
        assert await echo.ends.get() == "reset"


async def test_swallowed_replies_reach_the_proxy_and_not_the_client() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as streams:
        await ask(streams, b"calm")
        proxy.faults = NetworkFaults(swallow_replies=True)
        streams[1].write(b"milk")
        await until(lambda: b"".join(echo.reads) == b"calmmilk")
        assert await silent(streams)
        proxy.faults = NO_FAULTS
        with pytest.raises(ConnectionResetError):
            await streams[0].read(1)
        async with connect(proxy) as fresh:
            assert await ask(fresh, b"bread") == b"bread"


async def test_a_black_hole_delivers_nothing_until_it_ends() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as old:
        await ask(old, b"calm")
        proxy.faults = NetworkFaults(black_hole=True)
        old[1].write(b"milk")
        async with connect(proxy) as new:
            new[1].write(b"bread")
            assert await silent(old)
            assert await silent(new)
            assert echo.reads == [b"calm"]
            proxy.faults = NO_FAULTS
            assert await old[0].readexactly(4) == b"milk"
            assert await new[0].readexactly(5) == b"bread"


async def test_a_half_close_ends_requests_and_forwards_replies() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as streams:
        proxy.faults = NetworkFaults(half_close=True)
        streams[1].write(b"milk")
        assert await streams[0].read(-1) == b"milk"
        assert await echo.ends.get() == "end"


async def test_refuse_refuses_new_connections_and_keeps_the_port() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as old:
        await ask(old, b"calm")
        for _ in range(3):
            proxy.faults = NetworkFaults(refuse=True)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await ask(old, b"milk") == b"milk"
            proxy.faults = NO_FAULTS
            async with connect(proxy) as new:
                assert await ask(new, b"bread") == b"bread"


async def test_upstreams_take_turns_and_an_unreachable_one_is_skipped() -> None:
    async with open_echo(b"1") as one, open_echo(b"2") as two, open_proxy() as proxy:
        proxy.upstreams = [("127.0.0.1", one.port), ("127.0.0.1", two.port), ("127.0.0.1", 1)]
        seen = []
        for _ in range(6):
            async with connect(proxy) as streams:
                seen.append(await ask(streams, b"x", b"1x"))
        assert seen == [b"1x", b"2x"] * 3


async def test_an_unreachable_upstream_resets_the_client() -> None:
    async with open_proxy(("127.0.0.1", 1)) as proxy:
        with pytest.raises(ConnectionResetError):
            async with connect(proxy) as (reader, _):
                await reader.read(1)
        assert (proxy.opened, proxy.broken) == (1, 1)


async def test_a_peer_that_does_not_read_blocks_the_writer() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, connect(proxy) as (_, writer):
        with pytest.raises(TimeoutError):
            await write_bytes(writer, 1 << 28)  # far beyond the kernel's buffers of four sockets
        writer.transport.abort()


async def test_closing_the_proxy_ends_every_connection_under_any_fault() -> None:
    for faults in (
        NO_FAULTS,
        NetworkFaults(black_hole=True),
        NetworkFaults(latency_s=60),
        NetworkFaults(refuse=True),
        NetworkFaults(half_close=True),
    ):
        async with open_echo() as echo:
            async with open_proxy(("127.0.0.1", echo.port)) as proxy:
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                await ask((reader, writer), b"calm")
                proxy.faults = faults
                writer.write(b"milk")
            async with asyncio.timeout(TIMEOUT_S):
                with suppress(ConnectionResetError):
                    await reader.read(-1)
                await echo.ends.get()
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
        assert [task for task in asyncio.all_tasks() if "fault-proxy" in task.get_name()] == []
