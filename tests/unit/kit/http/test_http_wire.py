"""The HTTP layer byte by byte: limits, deadlines, clients that hang up, actions that go on."""

from __future__ import annotations

import asyncio
import time

import pytest

from autogrocery.kit.http.app import App
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.process.run import StartError
from tests.harness.http_probe import Stage, ask, guard, request, routes, served, token, until, wire

BASKET = b'{"items":[{"sku":"milk","quantity":2}]}'
HOST = b"Host: localhost\r\n"
POST = b"POST /open HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"


BROKEN = {
    "no HTTP": (b"HELO there\r\n\r\n", 400, "bad_request"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n", 400, "bad_request"),
    "no Host": (b"GET /alive HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "two Hosts": (b"GET /alive HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
    "one Host twice": (b"GET /alive HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "two Authorizations": (
        b"GET /alive HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        400,
        "bad_request",
    ),
    "CL and TE": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    "TE and CL": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "bad_request"),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400, "bad_request"),
    "length in words": (POST + b"Content-Length: five\r\n\r\n", 400, "bad_request"),
    "length beyond 64 bits": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, "bad_request"),
    "TE gzip": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, "bad_request"),
    "bad chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400, "bad_request"),
    "obs-fold": (b"GET /alive HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n 2\r\n\r\n", 400, "bad_request"),
    "space before colon": (b"GET /alive HTTP/1.1\r\nHost : a\r\n\r\n", 400, "bad_request"),
    "NUL in a field": (b"GET /alive HTTP/1.1\r\n" + HOST + b"X-A: \0\r\n\r\n", 400, "bad_request"),
    "CR alone": (b"GET /alive HTTP/1.1\r\n" + HOST + b"X-A: 1\rX-B: 2\r\n\r\n", 400, "bad_request"),
    "HTTP/9.9": (b"GET /alive HTTP/9.9\r\n" + HOST + b"\r\n", 400, "bad_request"),
    "CONNECT": (b"CONNECT db:5432 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad_request"),
    "URI of 3 KiB": (b"GET /" + b"a" * 3_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
    "query of 3 KiB": (b"GET /alive?" + b"a" * 3_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
    "URI without end": (b"GET /" + b"a" * 20_000, 414, "uri_too_long"),
    "65 headers": (b"GET /alive HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 64 + b"\r\n", 431, "headers_too_large"),
    "headers of 17 KiB": (
        b"GET /alive HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 17_000 + b"\r\n\r\n",
        431,
        "headers_too_large",
    ),
    "header without end": (b"GET /alive HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 30_000, 431, "headers_too_large"),
    "length of 64 KiB and one": (POST + b"Content-Length: 65537\r\n\r\n", 413, "payload_too_large"),
}


@pytest.mark.parametrize(("octets", "status", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_broken_request_gets_a_problem(port: int, octets: bytes, status: int, code: str) -> None:
    async with wire(port) as line:
        await line.send(octets)
        reply = await line.reply()
    assert (reply.status, reply.code) == (status, code)


async def test_oversized_chunked_body_is_413_before_its_end(port: int) -> None:
    async with wire(port) as line:
        await line.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 17)
        assert (await line.reply()).code == "payload_too_large"


async def test_body_of_exactly_64_kib_is_accepted(port: int) -> None:
    start, end = b'{"items":[],"note":"', b'"}'
    body = start + b"x" * ((64 << 10) - len(start + end)) + end
    assert (await ask(port, "POST", "/open", body)).status == 200


async def test_connection_stays_usable_after_a_refused_body(port: int) -> None:
    async with wire(port) as line:
        await line.send(request("POST", "/open", b"x" * 200_000))
        assert (await line.reply()).status == 413
        await line.send(request("POST", "/open", BASKET))
        assert (await line.reply()).status == 200


async def test_expect_continue_with_an_oversized_body_is_413_at_once(port: int) -> None:
    async with wire(port) as line:
        await line.send(POST + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n")
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        assert await line.rest() == b""


async def test_expect_continue_gets_100(port: int) -> None:
    async with wire(port) as line:
        await line.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BASKET))
        assert (await line.reply()).status == 100
        await line.send(BASKET)
        assert (await line.reply()).status == 200


async def test_trailer_field_is_not_a_header_field(port: int) -> None:
    trailer = b"Authorization: Bearer " + token("orders:write").encode()
    head = (
        b"POST /api/client/basket HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with wire(port) as line:
        await line.send(head + b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(BASKET), BASKET, trailer))
        assert (await line.reply()).code == "invalid_token"


async def test_body_in_small_chunks_is_joined(port: int) -> None:
    whole = request("POST", "/open", BASKET)
    async with wire(port) as line:
        for at in range(0, len(whole), 7):
            await line.send(whole[at : at + 7])
            await asyncio.sleep(0)
        assert (await line.reply()).status == 200


async def test_body_that_does_not_arrive_is_408(stage: Stage) -> None:
    async with served(stage, body_deadline_s=0.2) as port, wire(port) as line:
        await line.send(POST + b"Content-Length: 10\r\n\r\n{")
        reply = await line.reply()
        assert (reply.status, reply.code, reply.headers["connection"]) == (408, "request_timeout", "close")
        assert await line.rest() == b""


async def test_unfinished_head_is_408(stage: Stage) -> None:
    async with served(stage, head_deadline_s=0.2) as port, wire(port) as line:
        await line.send(b"GET /alive HTTP/1.1\r\nHost: localh")
        reply = await line.reply()
        assert (reply.status, reply.code) == (408, "request_timeout")
        assert await line.rest() == b""


async def test_slow_head_does_not_extend_its_deadline(stage: Stage) -> None:
    async with served(stage, head_deadline_s=0.4) as port, wire(port) as line:
        began = time.monotonic()
        await line.send(b"GET /alive HTTP/1.1\r\nX: ")
        reading = asyncio.create_task(line.reply())
        while not reading.done():
            await line.send(b"a")
            await asyncio.wait({reading}, timeout=0.05)
        assert (await reading).status == 408
        assert time.monotonic() - began < 2


async def test_silent_connection_is_closed(stage: Stage) -> None:
    async with served(stage, head_deadline_s=0.2) as port, wire(port) as line:
        assert await line.rest() == b""


async def test_action_past_its_deadline_is_503_and_goes_on(stage: Stage) -> None:
    async with served(stage, action_deadline_s=0.2) as port:
        reply = await ask(port, "GET", "/hold")
        assert (reply.status, reply.code, reply.json["retryable"]) == (503, "deadline_exceeded", True)
        assert not stage.finished.is_set()
        stage.go_on.set()
        await until(stage.finished)


async def test_connection_serves_requests_after_a_late_action(stage: Stage) -> None:
    async with served(stage, action_deadline_s=0.2) as port, wire(port) as line:
        await line.send(request("GET", "/hold"))
        assert (await line.reply()).status == 503
        await line.send(request("POST", "/open", BASKET))
        assert (await line.reply()).status == 200
        stage.go_on.set()
        await until(stage.finished)
        await line.send(request("POST", "/open", BASKET))
        assert (await line.reply()).status == 200


async def test_client_that_hangs_up_cancels_nothing(port: int, stage: Stage) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/hold"))
        await until(stage.entered)
        line.writer.transport.abort()
    assert (await ask(port, "POST", "/open", BASKET)).status == 200  # the server has seen the reset by now
    stage.go_on.set()
    await until(stage.finished)


async def test_request_beyond_max_in_flight_is_503_at_once(stage: Stage) -> None:
    async with served(stage, max_in_flight=1) as port, wire(port) as line:
        await line.send(request("GET", "/hold"))
        await until(stage.entered)
        began = time.monotonic()
        reply = await ask(port, "POST", "/open", BASKET)
        assert time.monotonic() - began < 0.5
        assert (reply.status, reply.code) == (503, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1
        assert (await ask(port, "GET", "/alive")).status == 200  # urgent
        stage.go_on.set()
        assert (await line.reply()).status == 200
    assert stage.finished.is_set()


async def test_overload_is_503_before_authentication(stage: Stage) -> None:
    async with served(stage, max_in_flight=1) as port, wire(port) as line:
        await line.send(request("GET", "/hold"))
        await until(stage.entered)
        assert (await ask(port, "GET", "/api/client/page")).status == 503
        # Not exactly a target of the table: the whole request is read first.
        assert (await ask(port, "GET", "/api/client/page?")).status == 401
        stage.go_on.set()


async def test_two_listeners_share_a_process(stage: Stage) -> None:
    async with served(stage) as one, served(Stage()) as other:
        assert one != other
        assert [(await ask(port, "GET", "/alive")).status for port in (one, other)] == [200, 200]


async def test_port_in_use_raises_with_port_and_setting(stage: Stage, port: int) -> None:
    with pytest.raises(StartError, match=rf"127\.0\.0\.1:{port} .*TEST_ADDR"):
        async with serve_http(App(routes(stage), guard()), "127.0.0.1", port, "TEST_ADDR"):
            pass


async def test_foreign_host_raises_with_the_setting(stage: Stage) -> None:
    with pytest.raises(StartError, match="TEST_ADDR"):
        async with serve_http(App(routes(stage), guard()), "192.0.2.1", 0, "TEST_ADDR"):
            pass


async def test_port_is_free_again_after_closing(stage: Stage) -> None:
    async with served(stage) as port:
        assert (await ask(port, "GET", "/alive")).status == 200
    async with serve_http(App(routes(Stage()), guard()), "127.0.0.1", port, "TEST_ADDR") as again:
        assert again == port
        assert (await ask(port, "GET", "/alive")).status == 200
