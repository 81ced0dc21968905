"""No room: who is turned away by the first line alone, what is told, and how the connection stays in step."""

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
    """A house that is full until `stage.go_on` is set."""
    async with served(stage, max_in_flight=1) as port, wire(port) as line:
        await line.send(request("GET", "/hold"))
        await until(stage.entered)
        yield port
        stage.go_on.set()
        assert (await line.reply()).status == 200


async def test_whoever_is_turned_away_is_told_as_the_application_tells(port: int) -> None:
    async with wire(port) as line:
        told = []
        for target in ("/open", "/open?"):  # the second is not known by its first line
            await line.send(request("POST", target, BASKET, headers={"x-request-id": "mine"}))
            told.append(await line.reply())
    short, long = told
    assert (short.status, short.code, short.json["retryable"]) == (503, "overloaded", True)
    assert short.json == long.json
    assert short.headers.keys() == long.headers.keys()
    assert short.headers["x-request-id"] == "mine"
    assert int(short.headers["retry-after"]) >= 1


@pytest.mark.parametrize("given", ["<script>", "a b", "x" * 65])
async def test_a_request_id_that_is_none_is_replaced_there_too(port: int, given: str) -> None:
    async with wire(port) as line:
        await line.send(request("POST", "/open", BASKET, headers={"x-request-id": given}))
        assert given != (await line.reply()).headers["x-request-id"]


async def test_the_body_of_a_request_that_was_turned_away_is_read_over(port: int, stage: Stage) -> None:
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


async def test_many_in_a_row_are_each_told(port: int) -> None:
    async with wire(port) as line:
        await line.send(request("POST", "/open", BASKET) * 50)
        assert [(await line.reply()).status for _ in range(50)] == [503] * 50


async def test_an_answer_in_work_comes_before_the_refusal_behind_it(stage: Stage) -> None:
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
async def test_what_can_be_read_in_two_ways_is_not_turned_away_but_ended(port: int, fields: bytes) -> None:
    async with wire(port) as line:
        await line.send(HEAD + fields + b"\r\n" + BASKET)
        assert (await line.reply()).code == "bad_request"
        assert await line.rest() == b""


@pytest.mark.parametrize("fields", [b"Expect: 100-continue\r\n", b"Connection: close\r\n"])
async def test_whose_body_will_not_come_is_told_and_ended(port: int, fields: bytes) -> None:
    async with wire(port) as line:
        await line.send(HEAD + LENGTH + fields + b"\r\n")
        reply = await line.reply()
        assert (reply.code, reply.headers["connection"]) == ("overloaded", "close")
        assert await line.rest() == b""


async def test_urgent_routes_are_never_turned_away(port: int) -> None:
    async with wire(port) as line:
        for _ in range(3):
            await line.send(request("GET", "/alive"))
            assert (await line.reply()).status == 200
