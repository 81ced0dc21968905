"""Slow clients: each is disconnected in the end, and none delays the others."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.http_probe import PATIENCE_S, Stage, ask, request, served, until, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.http_probe import Wire

ROOT = Path(__file__).resolve().parents[2]
HEAD = b"POST /open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n"
LARGE = b'{"items":[],"note":"' + b"x" * 60_000 + b'"}'
START_S = 30.0
SLOW, EVERY_S = 300, 0.2
ROUNDS, ROUND_S = 4, 0.6
WARM_UP = 50  # requests until the responses to the initial burst are through
FLOOR_S = 0.03  # a smaller difference is noise of the machine
SERVER = """
import asyncio
from tests.harness.http_probe import Stage, served
async def main():
    async with served(Stage(), head_deadline_s=10.0) as port:
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, input)
asyncio.run(main())
"""


async def read_nothing(port: int) -> None:
    """Request more than the buffers of both ends hold and never read; return when the server disconnects."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)  # noqa: FBT003 - an argument of the standard library
        await loop.sock_connect(client, ("127.0.0.1", port))
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                while True:
                    await loop.sock_sendall(client, request("POST", "/open", LARGE))


async def test_client_that_never_reads_is_disconnected() -> None:
    async with served(Stage(), listener={"send_deadline_s": 0.3}) as port:
        await read_nothing(port)
        assert (await ask(port, "GET", "/alive")).status == 200


async def test_dripping_body_returns_408_at_the_deadline() -> None:
    async with served(Stage(), body_deadline_s=0.4) as port, wire(port) as line:
        began = time.monotonic()
        await line.send(HEAD + b"\r\n")
        reading = asyncio.create_task(line.reply())
        while not reading.done():
            await line.send(b"x")
            await asyncio.wait({reading}, timeout=0.05)
        assert (await reading).status == 408
        assert time.monotonic() - began < 3
        assert await line.rest() == b""


INTERRUPTED = {
    "a body that drips": (HEAD + b"\r\n", 408),
    "a head that drips": (HEAD, 408),
    "a head without end": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000, 431),
    "an address without end": (b"GET /" + b"x" * 20_000, 414),
    "no HTTP": (b"\0" * 100, 400),
    "a chunk of no size": (b"POST /open HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    "a body that drips after an offer to upgrade": (HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", 408),
    "CONNECT with a body": (HEAD.replace(b"POST /open", b"CONNECT a:1") + b"\r\n", 400),
}


@pytest.mark.parametrize(("sent", "status"), INTERRUPTED.values(), ids=INTERRUPTED)
async def test_client_that_still_sends_receives_the_error_response(sent: bytes, status: int) -> None:
    async with served(Stage(), body_deadline_s=0.2, listener={"head_deadline_s": 0.2}) as port, wire(port) as line:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await line.send(sent)
        for _ in range(10):  # a closed socket would answer the first byte with a reset, which drops unread data
            await asyncio.sleep(0.05)
            await line.send(b"x")
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await line.reply()).status == status


async def test_refused_client_that_keeps_sending_is_drained_for_one_second() -> None:
    async with served(Stage(), body_deadline_s=0.2) as port, wire(port) as line:
        await line.send(HEAD + b"\r\n")
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began < PATIENCE_S:
                await line.send(b"x")
                await asyncio.sleep(0.05)
        assert 1 < time.monotonic() - began < 4


async def open_lines(port: int, lines: AsyncExitStack, count: int) -> list[Wire]:
    return [await lines.enter_async_context(wire(port)) for _ in range(count)]


async def test_longest_idle_connection_is_closed_for_a_new_one() -> None:
    async with served(Stage(), listener={"max_connections": 20}) as port, AsyncExitStack() as lines:
        idle = await open_lines(port, lines, 19)
        working = await lines.enter_async_context(wire(port))
        for line in (working, idle[0]):  # now idle[1] has been idle the longest
            await line.send(request("GET", "/alive"))
            assert (await line.reply()).status == 200
        assert (await ask(port, "GET", "/alive")).status == 200
        assert await idle[1].rest() == b""
        for line in (working, *idle[2:], idle[0]):
            await line.send(request("GET", "/alive"))
            assert (await line.reply()).status == 200


async def test_connections_with_incomplete_heads_are_closed_for_new_ones() -> None:
    async with served(Stage(), listener={"max_connections": 20}) as port, AsyncExitStack() as lines:
        for line in await open_lines(port, lines, 60):
            with suppress(ConnectionError):
                await line.send(b"GET /alive HTTP/1.1\r\nHost: loc")
        assert (await ask(port, "GET", "/alive")).status == 200


async def test_connection_beyond_the_limit_returns_503_while_all_are_busy() -> None:
    stage = Stage()
    async with served(stage, listener={"max_connections": 16}) as port, AsyncExitStack() as lines:
        working = await open_lines(port, lines, 16)
        for line in working:
            await line.send(request("GET", "/hold"))
        await until(stage.entered)
        async with wire(port) as line:
            reply = await line.reply()
            assert (reply.status, reply.code, reply.headers["connection"]) == (503, "overloaded", "close")
            assert await line.rest() == b""
        stage.go_on.set()
        assert [(await line.reply()).status for line in working] == [200] * 16
        assert (await ask(port, "GET", "/alive")).status == 200


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """A server in its own process, so that the slow clients' work does not slow it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            port = int(await process.stdout.readline())
        yield port
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def slow_clients(port: int) -> AsyncIterator[list[Wire]]:
    """Open SLOW connections: a quarter each sends its head slowly, its body slowly, nothing, or never reads."""
    async with AsyncExitStack() as lines:
        made = await open_lines(port, lines, SLOW)
        for number, line in enumerate(made):
            kind = number % 4
            if kind == 0:
                await line.send(b"GET /alive HTTP/1.1\r\nHost: localhost\r\nX: ")
            elif kind == 1:
                await line.send(HEAD + b"\r\n")
            elif kind == 2:
                line.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await line.send(request("POST", "/open", LARGE))

        async def drip() -> None:
            while True:
                await asyncio.sleep(EVERY_S)
                for number, line in enumerate(made):
                    if number % 4 < 2:
                        line.writer.write(b"x")

        dripping = asyncio.create_task(drip())
        yield made
        dripping.cancel()


async def times_s(line: Wire) -> list[float]:
    took_s: list[float] = []
    until_s = time.perf_counter() + ROUND_S
    while time.perf_counter() < until_s or len(took_s) < 2 * WARM_UP:
        began = time.perf_counter()
        await line.send(request("GET", "/alive"))
        assert (await line.reply()).status == 200
        took_s.append(time.perf_counter() - began)
    return took_s[WARM_UP:]


@pytest.mark.timeout(120)
async def test_300_slow_clients_raise_a_healthy_clients_p99_by_less_than_2x() -> None:
    alone_s: list[float] = []
    among_s: list[float] = []
    async with server() as port, wire(port) as healthy:
        for _ in range(ROUNDS):  # alternating, so that other load on the machine affects both alike
            alone_s += await times_s(healthy)
            async with slow_clients(port):
                among_s += await times_s(healthy)
    alone_p99_s, among_p99_s = (sorted(took_s)[int(len(took_s) * 0.99)] for took_s in (alone_s, among_s))
    assert among_p99_s < max(2 * alone_p99_s, FLOOR_S), (alone_p99_s, among_p99_s)
