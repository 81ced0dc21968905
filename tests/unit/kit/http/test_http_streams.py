"""Streams end with their source, their client, their token or the server; requests in flight are finished."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.security.tokens import Verifier
from tests.harness.http_probe import KEY, PATIENCE_S, Stage, Wire, request, served, token, until, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def wire_of(stage: Stage) -> AsyncIterator[tuple[Wire, asyncio.Event]]:
    """A connection to a server that stops when the event is set."""
    stop, bound = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with served(stage) as port:
            bound.set_result(port)
            await stop.wait()

    serving = asyncio.create_task(serve())
    async with wire(await bound) as line:
        yield line, stop
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await serving


async def test_stop_waits_for_requests_in_flight(stage: Stage) -> None:
    async with wire_of(stage) as (line, stop):
        await line.send(request("GET", "/hold"))
        await until(stage.entered)
        stop.set()
        stage.go_on.set()
        assert (await line.reply()).status == 200
    assert stage.finished.is_set()


async def test_stream_sends_parts_and_ends_with_its_source(port: int, stage: Stage) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/events"))
        reply = await line.reply()
        assert (reply.headers["content-type"], reply.headers["transfer-encoding"]) == ("text/event-stream", "chunked")
        assert await line.reader.readuntil(b"data: 1\n\n\r\n")
        stage.go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            assert (await line.reader.readuntil(b"0\r\n\r\n")).endswith(b"data: 2\n\n\r\n0\r\n\r\n")


async def test_head_of_a_stream_ends_at_once_and_holds_no_place(stage: Stage) -> None:
    async with served(stage, max_streams=1) as port, wire(port) as line, wire(port) as other:
        for _ in range(3):
            await line.send(request("HEAD", "/events"))
            reply = await line.reply(head_only=True)
            assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
            assert not {"content-length", "transfer-encoding", "connection"} & reply.headers.keys()
        await other.send(request("GET", "/events"))
        assert (await other.reply()).status == 200
        await line.send(request("HEAD", "/events") + request("GET", "/events") + request("GET", "/alive"))
        assert (await line.reply(head_only=True)).status == 200
        assert (await line.reply()).code == "overloaded"
        assert (await line.reply()).status == 200
        stage.go_on.set()


async def test_stream_ends_when_the_client_hangs_up(port: int, stage: Stage) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/events"))
        await line.reply()
    await until(stage.stream_ended)


async def test_stream_ends_when_the_server_stops(stage: Stage) -> None:
    async with wire_of(stage) as (line, stop):
        await line.send(request("GET", "/events"))
        await line.reply()
        stop.set()
        assert (await line.rest()).endswith(b"0\r\n\r\n")
    assert stage.stream_ended.is_set()


def disabled(verifier: Verifier, _late: list[float]) -> None:
    verifier.disabled = {7}


def expired(_verifier: Verifier, late: list[float]) -> None:
    late.append(3_600.0)


@pytest.mark.parametrize("end", [disabled, expired])
async def test_stream_ends_when_its_token_is_no_longer_accepted(
    stage: Stage, end: Callable[[Verifier, list[float]], None]
) -> None:
    late: list[float] = []
    verifier = Verifier([KEY], issuer="tests", audience="here", leeway_s=0, clock=lambda: time.time() + sum(late))
    async with served(stage, verifier=verifier, recheck_s=0.01) as port, wire(port) as line:
        await line.send(request("GET", "/api/client/events", bearer=token("orders:read")))
        assert (await line.reply()).status == 200
        assert await line.reader.readuntil(b"data: 1\n\n\r\n")
        end(verifier, late)
        async with asyncio.timeout(PATIENCE_S):
            await line.reader.readuntil(b"0\r\n\r\n")
        await until(stage.stream_ended)


async def test_stream_goes_on_while_its_token_is_accepted(stage: Stage) -> None:
    async with served(stage, recheck_s=0.001) as port, wire(port) as line:
        await line.send(request("GET", "/api/client/events", bearer=token("orders:read")))
        await line.reply()
        async with wire(port) as another:  # by the time of this answer it was asked again, many times
            await another.send(request("GET", "/alive"))
            await another.reply()
        stage.go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            assert await line.reader.readuntil(b"data: 2\n\n\r\n")
