"""One connection: responses before the body, half-closed clients, clients that do not read, the end of the server."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.kit.http.app import Answer, App, Request, Route
from autogrocery.kit.http.server import serve_http
from tests.harness.http_probe import Stage, Wire, request, served, token, until, wire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

BASKET = b'{"items":[{"sku":"milk","quantity":2}]}'
READER = token("orders:read")
HEAD = "host: localhost\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nauthorization: Bearer {bearer}\r\n\r\n"
EARLY = {
    "no token": ("POST /api/client/basket", "application/json", 39, "x", 401),
    "no scope": ("POST /api/client/basket", "application/json", 39, READER, 403),
    "no path": ("POST /nowhere", "application/json", 39, "x", 404),
    "no method": ("PUT /open", "application/json", 39, "x", 405),
    "no JSON": ("POST /open", "text/plain", 39, "x", 415),
    "too large": ("POST /open", "application/json", 70_000, "x", 413),
}


@pytest.mark.parametrize(("line", "kind", "length", "bearer", "status"), EARLY.values(), ids=EARLY)
async def test_refusal_that_needs_no_body_comes_before_it(
    port: int, line: str, kind: str, length: int, bearer: str, status: int
) -> None:
    head = f"{line} HTTP/1.1\r\n" + HEAD.format(kind=kind, length=length, bearer=bearer)
    async with wire(port) as connection:
        await connection.send(head.encode())
        assert (await connection.reply()).status == status
        await connection.send(b"x" * length + request("GET", "/alive"))
        assert (await connection.reply()).status == 200


async def test_rate_limit_is_told_before_the_body(port: int) -> None:
    async with wire(port) as line:
        for _ in range(3):
            await line.send(request("POST", "/limited", b"{}"))
        assert [(await line.reply()).status for _ in range(3)] == [200, 200, 429]


async def test_continue_is_not_sent_for_a_body_that_nobody_reads(port: int) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/alive", headers={"expect": "100-continue", "content-length": "5"}))
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")  # the five bytes may come or not
        assert await line.rest() == b""


async def test_half_closed_client_gets_all_its_responses(port: int, stage: Stage) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/hold") + request("POST", "/open", BASKET))
        await until(stage.entered)
        line.writer.write_eof()
        await asyncio.sleep(0.05)
        stage.go_on.set()
        replies = [await line.reply() for _ in range(2)]
        assert [reply.status for reply in replies] == [200, 200]
        assert await line.rest() == b""


async def test_half_closed_client_gets_the_response_in_flight_then_the_end(port: int, stage: Stage) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/hold"))
        await until(stage.entered)
        line.writer.write_eof()
        await asyncio.sleep(0.05)
        stage.go_on.set()
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await line.rest() == b""


async def test_client_that_closes_within_its_request_gets_no_response(port: int) -> None:
    async with wire(port) as line:
        await line.send(request("POST", "/open", BASKET)[:-1])
        line.writer.write_eof()
        assert await line.rest() == b""


class Large:
    """A route whose response fills the buffers of both ends, and the number of its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, _: Request) -> Any:
        self.calls += 1
        return Answer(b"x" * (4 << 20), media="text/plain")


@asynccontextmanager
async def small_window(port: int) -> AsyncIterator[Wire]:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)  # noqa: FBT003 - an argument of the standard library
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=client, limit=4_096)
    yield Wire(reader, writer)
    writer.close()


async def test_request_behind_a_response_that_is_not_read_does_not_begin(stage: Stage) -> None:
    large = Large()
    app = App([Route("GET", "/large", large.answer, auth=False), Route("GET", "/hold", stage.hold, auth=False)])
    async with serve_http(app, "127.0.0.1", 0, "TEST_ADDR") as port, small_window(port) as line:
        await line.send(request("GET", "/large") * 3)
        await asyncio.sleep(0.2)
        assert large.calls == 1
        for _ in range(3):
            assert (await line.reply()).status == 200
        assert large.calls == 3


async def test_client_of_http_1_0_gets_a_stream_without_chunks(port: int, stage: Stage) -> None:
    stage.go_on.set()
    async with wire(port) as line:
        await line.send(b"GET /events HTTP/1.0\r\n\r\n")
        reply = await line.reply()
        assert "transfer-encoding" not in reply.headers
        assert reply.headers["connection"] == "close"
        assert await line.rest() == b"data: 1\n\ndata: 2\n\n"


async def failing(_: Request) -> Any:
    async def parts() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        raise RuntimeError("inside")

    return Answer(stream=parts())


async def injected(_: Request) -> Any:
    return Answer({}, headers=(("x-name", "a\r\nx-other: b"),))


async def test_stream_that_fails_ends_without_its_last_chunk() -> None:
    app = App([Route("GET", "/failing", failing, auth=False)])
    async with serve_http(app, "127.0.0.1", 0, "TEST_ADDR") as port, wire(port) as line:
        await line.send(request("GET", "/failing"))
        await line.reply()
        assert await line.rest() == b"9\r\ndata: 1\n\n\r\n"


async def test_header_field_with_a_line_break_is_500_without_it() -> None:
    app = App([Route("GET", "/injected", injected, auth=False), Route("GET", "/failing", failing, auth=False)])
    async with serve_http(app, "127.0.0.1", 0, "TEST_ADDR") as port, wire(port) as line:
        await line.send(request("GET", "/injected"))
        reply = await line.reply()
        assert (reply.status, reply.code) == (500, "internal_error")
        assert "x-other" not in reply.headers


async def test_server_that_stops_closes_idle_connections_at_once(stage: Stage) -> None:
    async with AsyncExitStack() as lines:
        async with served(stage) as port:
            idle = [await lines.enter_async_context(wire(port)) for _ in range(3)]
            for line in idle[1:]:
                await line.send(request("GET", "/alive"))
                assert (await line.reply()).status == 200
            await idle[2].send(b"GET /alive HTTP/1.1\r\nHost: loc")
            began = time.monotonic()
        assert time.monotonic() - began < 3.0
        for line in idle[:2]:
            assert await line.rest() == b""


async def test_server_that_stops_answers_what_it_has_read_and_closes(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        line = None
        async with served(stage) as port:
            line = await stack.enter_async_context(wire(port))
            await line.send(request("GET", "/hold") + request("POST", "/open", BASKET))
            await until(stage.entered)
            asyncio.get_running_loop().call_later(0.1, stage.go_on.set)
        replies = [await line.reply() for _ in range(2)]
        assert [reply.status for reply in replies] == [200, 200]
        assert replies[1].headers["connection"] == "close"
        assert await line.rest() == b""


async def test_action_that_outlasts_the_drain_is_cancelled() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: Request) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with AsyncExitStack() as stack:
        async with serve_http(App([Route("GET", "/hang", hang, auth=False)]), "127.0.0.1", 0, "TEST_ADDR") as port:
            line = await stack.enter_async_context(wire(port))
            await line.send(request("GET", "/hang"))
            await until(entered)
        await until(cancelled)
