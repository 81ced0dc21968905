"""Overload: requests refused by their request line alone, and connections that stay in step afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.harness.http_probe import Stage, request, served, until, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BASKET = b'{"items":[{"sku":"milk","quantity":2}]}'
HEAD = b"POST /open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BASKET)


@pytest.fixture
async def port(stage: Stage) -> AsyncIterator[int]:
    """An application without capacity until `stage.go_on` is set."""
    async with served(stage, max_in_flight=1) as port, wire(port) as line:
        await line.send(request("GET", "/hold"))
        await until(stage.entered)
        yield port
        stage.go_on.set()
        assert (await line.reply()).status == 200


async def test_early_refusal_equals_the_applications_refusal(port: int) -> None:
    async with wire(port) as line:
        replies = []
        for target in ("/open", "/open?"):  # the application itself refuses the second
            await line.send(request("POST", target, BASKET, headers={"x-request-id": "mine"}))
            replies.append(await line.reply())
    short, long = replies
    assert (short.status, short.code, short.json["retryable"]) == (503, "overloaded", True)
    assert short.json == long.json
    assert short.headers.keys() == long.headers.keys()
    assert short.headers["x-request-id"] == "mine"
    assert int(short.headers["retry-after"]) >= 1


@pytest.mark.parametrize("given", ["<script>", "a b", "x" * 65])
async def test_early_refusal_replaces_a_malformed_request_id(port: int, given: str) -> None:
    async with wire(port) as line:
        await line.send(request("POST", "/open", BASKET, headers={"x-request-id": given}))
        assert given != (await line.reply()).headers["x-request-id"]


async def test_body_of_an_early_refused_request_is_read_and_discarded(port: int, stage: Stage) -> None:
    async with wire(port) as line:
        await line.send(HEAD + LENGTH + b"\r\n")
        assert (await line.reply()).status == 503  # before the body
        for octet in BASKET:
            await line.send(bytes([octet]))
            await asyncio.sleep(0)
        stage.go_on.set()
        await until(stage.finished)
        await line.send(request("POST", "/open", BASKET))
        reply = await line.reply()
        assert (reply.status, reply.json["items"][0]["sku"]) == (200, "milk")


async def test_each_of_fifty_pipelined_requests_is_refused_with_503(port: int) -> None:
    async with wire(port) as line:
        await line.send(request("POST", "/open", BASKET) * 50)
        assert [(await line.reply()).status for _ in range(50)] == [503] * 50


async def test_pipelined_refusal_follows_the_response_in_flight(stage: Stage) -> None:
    async with served(stage, max_in_flight=1) as port, wire(port) as line:
        await line.send(request("GET", "/hold") + request("POST", "/open", BASKET, headers={"x-request-id": "second"}))
        await until(stage.entered)
        stage.go_on.set()
        assert (await line.reply()).status == 200
        assert (await line.reply()).headers["x-request-id"] == "second"


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Host: elsewhere\r\n" + LENGTH,
        b"Content-Length: -1\r\n",
    ],
)
async def test_ambiguous_framing_under_overload_is_400_and_closes(port: int, fields: bytes) -> None:
    async with wire(port) as line:
        await line.send(HEAD + fields + b"\r\n" + BASKET)
        assert (await line.reply()).code == "bad_request"
        assert await line.rest() == b""


@pytest.mark.parametrize("fields", [b"Expect: 100-continue\r\n", b"Connection: close\r\n"])
async def test_refused_request_with_expect_or_close_is_503_and_closes(port: int, fields: bytes) -> None:
    async with wire(port) as line:
        await line.send(HEAD + LENGTH + fields + b"\r\n")
        reply = await line.reply()
        assert (reply.code, reply.headers["connection"]) == ("overloaded", "close")
        assert await line.rest() == b""


async def test_urgent_route_is_answered_under_overload(port: int) -> None:
    async with wire(port) as line:
        for _ in range(3):
            await line.send(request("GET", "/alive"))
            assert (await line.reply()).status == 200
