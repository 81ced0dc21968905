"""Each kind of weather on a plain echo server, seen from both ends."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from autogrocery.lab.fault_proxy import CALM, FaultProxy, Weather, open_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE_S = 10.0
A_MOMENT_S = 0.1  # for what must not happen
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(Struct):
    """Says what it hears, with its name before it; `heard` is every read by itself, `ends` how each connection ended."""

    name: bytes
    port: int
    heard: list[bytes]
    ends: asyncio.Queue[str]
    greeting: bytes


@asynccontextmanager
async def open_echo(name: bytes = b"", greeting: bytes = b"", path: str | None = None) -> AsyncIterator[Echo]:
    echo = Echo(name, 0, [], asyncio.Queue(), greeting)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(echo.greeting)
            while chunk := await reader.read(1 << 20):
                echo.heard.append(chunk)
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
async def dial(proxy: FaultProxy) -> AsyncIterator[Streams]:
    async with asyncio.timeout(PATIENCE_S):
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


async def pour(writer: asyncio.StreamWriter, count: int) -> None:
    """Write so many bytes; raises TimeoutError when nothing has moved for a while."""
    for _ in range(count >> 20):
        writer.write(b"x" * (1 << 20))
        async with asyncio.timeout(10 * A_MOMENT_S):
            await writer.drain()


async def silent(streams: Streams) -> bool:
    try:
        async with asyncio.timeout(A_MOMENT_S):
            await streams[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_calm_weather_hands_on_everything_and_the_end_of_each_stream() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as (reader, writer):
        text = bytes(range(256)) * 8_192
        writer.write(text)
        writer.write_eof()
        assert await reader.read(-1) == text
        assert await echo.ends.get() == "end"
        assert (proxy.opened, proxy.broken) == (1, 0)


async def test_a_unix_socket_is_an_upstream_too(tmp_path: Path) -> None:
    path = str(tmp_path / "echo")
    async with open_echo(path=path), open_proxy(path) as proxy, dial(proxy) as streams:
        assert await ask(streams, b"milk") == b"milk"


async def test_latency_delays_each_way() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as streams:
        proxy.weather = Weather(latency_s=0.1)
        begun = time.monotonic()
        assert await ask(streams, b"milk") == b"milk"
        assert time.monotonic() - begun >= 0.2


async def test_jitter_is_seeded() -> None:
    async def pauses(seed: int) -> list[float]:
        found = []
        async with (
            open_echo() as echo,
            open_proxy(("127.0.0.1", echo.port), seed=seed) as proxy,
            dial(proxy) as streams,
        ):
            proxy.weather = Weather(jitter_s=0.01)
            for _ in range(3):
                await ask(streams, b"milk")
            found.append(proxy._random.random())
        return found

    assert await pauses(1) == await pauses(1) != await pauses(2)


async def test_slices_arrive_in_pieces_and_in_order() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as streams:
        proxy.weather = Weather(slice_bytes=3)
        text = bytes(range(200))
        assert await ask(streams, text) == text
        assert b"".join(echo.heard) == text
        assert len(echo.heard) > 1


@pytest.mark.parametrize("after", [0, 3, 6])
async def test_a_reset_comes_after_so_many_bytes_at_both_ends(after: int) -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as streams:
        assert await ask(streams, b"calm") == b"calm"
        echo.heard.clear()
        proxy.weather = Weather(reset_after_bytes=after)
        streams[1].write(b"four")
        got = bytearray()
        with pytest.raises(ConnectionResetError):
            await read_on(streams[0], got)
        assert await echo.ends.get() == "reset"
        assert len(got) + len(b"".join(echo.heard)) == after
        assert proxy.broken == 1


async def test_a_reset_reaches_upstream_as_a_reset() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as streams:
        await ask(streams, b"milk")
        assert proxy.reset_all() == 1
        with pytest.raises(ConnectionResetError):
            await streams[0].read(1)
        assert await echo.ends.get() == "reset"
        assert (proxy.reset_all(), proxy.broken) == (0, 1)


async def test_a_clients_own_reset_is_handed_on() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy:
        async with dial(proxy) as streams:
            await ask(streams, b"milk")
            streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            streams[1].transport.abort()
        assert await echo.ends.get() == "reset"


async def test_swallowed_replies_are_heard_above_and_never_below() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as streams:
        await ask(streams, b"calm")
        proxy.weather = Weather(swallow_replies=True)
        streams[1].write(b"milk")
        while b"".join(echo.heard) != b"calmmilk":  # noqa: ASYNC110 - the other end is a bare protocol
            await asyncio.sleep(0.01)
        assert await silent(streams)
        proxy.weather = CALM
        with pytest.raises(ConnectionResetError):
            await streams[0].read(1)
        async with dial(proxy) as fresh:
            assert await ask(fresh, b"bread") == b"bread"


async def test_nothing_moves_in_a_black_hole_and_all_of_it_afterwards() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as old:
        await ask(old, b"calm")
        proxy.weather = Weather(black_hole=True)
        old[1].write(b"milk")
        async with dial(proxy) as new:
            new[1].write(b"bread")
            assert await silent(old)
            assert await silent(new)
            assert echo.heard == [b"calm"]
            proxy.weather = CALM
            assert await old[0].readexactly(4) == b"milk"
            assert await new[0].readexactly(5) == b"bread"


async def test_a_half_close_ends_the_requests_and_lets_the_replies_through() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as streams:
        proxy.weather = Weather(half_close=True)
        streams[1].write(b"milk")
        assert await streams[0].read(-1) == b"milk"
        assert await echo.ends.get() == "end"


async def test_refused_is_refused_and_the_port_stays() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as old:
        await ask(old, b"calm")
        for _ in range(3):
            proxy.weather = Weather(refuse=True)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await ask(old, b"milk") == b"milk"
            proxy.weather = CALM
            async with dial(proxy) as new:
                assert await ask(new, b"bread") == b"bread"


async def test_upstreams_take_turns_and_one_that_is_away_is_passed_over() -> None:
    async with open_echo(b"1") as one, open_echo(b"2") as two, open_proxy() as proxy:
        proxy.upstreams = [("127.0.0.1", one.port), ("127.0.0.1", two.port), ("127.0.0.1", 1)]
        seen = []
        for _ in range(6):
            async with dial(proxy) as streams:
                seen.append(await ask(streams, b"x", b"1x"))
        assert seen == [b"1x", b"2x"] * 3


async def test_a_proxy_to_nowhere_resets() -> None:
    async with open_proxy(("127.0.0.1", 1)) as proxy:
        with pytest.raises(ConnectionResetError):
            async with dial(proxy) as (reader, _):
                await reader.read(1)
        assert (proxy.opened, proxy.broken) == (1, 1)


async def test_a_reader_that_does_not_read_holds_the_writer_up() -> None:
    async with open_echo() as echo, open_proxy(("127.0.0.1", echo.port)) as proxy, dial(proxy) as (_, writer):
        with pytest.raises(TimeoutError):
            await pour(writer, 1 << 28)  # far beyond what kernels keep for four sockets
        writer.transport.abort()


async def test_leaving_ends_every_connection_whatever_the_weather() -> None:
    for weather in (
        CALM,
        Weather(black_hole=True),
        Weather(latency_s=60),
        Weather(refuse=True),
        Weather(half_close=True),
    ):
        async with open_echo() as echo:
            async with open_proxy(("127.0.0.1", echo.port)) as proxy:
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                await ask((reader, writer), b"calm")
                proxy.weather = weather
                writer.write(b"milk")
            async with asyncio.timeout(PATIENCE_S):
                with suppress(ConnectionResetError):
                    await reader.read(-1)
                await echo.ends.get()
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
        assert [task for task in asyncio.all_tasks() if "fault-proxy" in task.get_name()] == []
