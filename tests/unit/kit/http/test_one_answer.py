"""A refused request gets exactly one answer, however slowly its body comes and however it ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.harness.http_probe import Stage, Wire, request, served, token, until, wire

BASKET = b'{"items":[{"sku":"milk","quantity":2}]}'
LARGE = b'{"items":[],"note":"' + b"x" * 70_000 + b'"}'
WRITER, READER = token("orders:write"), token("orders:read")
STEPS = 6  # parts of a body
PAUSE_S = 0.01
JSON = {"content-type": "application/json"}
# target, header fields, body, status
REFUSED: dict[str, tuple[str, dict[str, str], bytes, int]] = {
    "no token": ("POST /api/client/basket", JSON, BASKET, 401),
    "wrong token": ("POST /api/client/basket", JSON | {"authorization": "Bearer x"}, BASKET, 401),
    "no scope": ("POST /api/client/basket", JSON | {"authorization": f"Bearer {READER}"}, BASKET, 403),
    "no path": ("POST /nowhere", JSON, BASKET, 404),
    "no method": ("PUT /open", JSON, BASKET, 405),
    "too large": ("POST /open", JSON, LARGE, 413),
    "no JSON": ("POST /open", {"content-type": "text/plain"}, BASKET, 415),
    "coded": ("POST /open", JSON | {"content-encoding": "gzip"}, BASKET, 415),
    "bad key": ("POST /api/client/keyed", {"authorization": f"Bearer {READER}", "idempotency-key": "a b"}, BASKET, 422),
    "bad query": ("GET /api/client/page?limit=x", {"authorization": f"Bearer {READER}"}, BASKET, 422),
    "too often": ("POST /limited", {}, BASKET, 429),
    "accepted": ("POST /open", JSON, BASKET, 200),
    "an offer to upgrade": ("POST /nowhere", JSON | {"connection": "upgrade", "upgrade": "h2c"}, BASKET, 404),
}
AT_ONCE = {name: case for name, case in REFUSED.items() if case[3] not in {200, 429}}  # before the body has come
BY_LENGTH, CHUNKED = "by length", "chunked"


def head(target: str, fields: dict[str, str], body: bytes, framing: str) -> bytes:
    framed = {"content-length": str(len(body))} if framing == BY_LENGTH else {"transfer-encoding": "chunked"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in ({"host": "localhost"} | fields | framed).items())
    return f"{target} HTTP/1.1\r\n{lines}\r\n".encode()


def parts(body: bytes, framing: str) -> list[bytes]:
    size = -(-len(body) // STEPS)
    found = [body[at : at + size] for at in range(0, len(body), size)]
    if framing == BY_LENGTH:
        return found
    return [b"%x\r\n%b\r\n" % (len(part), part) for part in found] + [b"0\r\n", b"\r\n"]


async def trickle(line: Wire, octets: list[bytes]) -> None:
    with suppress(ConnectionError):  # the server may have closed
        for part in octets:
            await line.send(part)
            await asyncio.sleep(PAUSE_S)


async def replies_of(line: Wire) -> list[tuple[int, str]]:
    """Return status and request id of every response until the connection is closed."""
    found = []
    with suppress(asyncio.IncompleteReadError):
        while True:
            reply = await line.reply()
            found.append((reply.status, reply.headers["x-request-id"]))
    return found


@pytest.mark.parametrize("framing", [BY_LENGTH, CHUNKED])
@pytest.mark.parametrize(("target", "fields", "body", "status"), REFUSED.values(), ids=REFUSED)
async def test_request_whose_body_trickles_gets_one_answer(
    port: int, target: str, fields: dict[str, str], body: bytes, status: int, framing: str
) -> None:
    async with wire(port) as line:
        if status == 429:  # its two tokens
            await line.send(request("POST", "/limited", b"") * 2)
            assert [(await line.reply()).status for _ in range(2)] == [200, 200]
        await trickle(line, [head(target, fields | {"x-request-id": "first"}, body, framing), *parts(body, framing)])
        last = {"x-request-id": "last", "connection": "close"}
        await line.send(
            request("GET", "/alive", headers={"x-request-id": "next"}) + request("GET", "/alive", headers=last)
        )
        assert await replies_of(line) == [(status, "first"), (200, "next"), (200, "last")]


@pytest.mark.parametrize("framing", [BY_LENGTH, CHUNKED])
@pytest.mark.parametrize("target", ["/open", "/open?"])  # refused by the connection, and by the application
async def test_overload_with_a_trickling_body_gets_one_answer(stage: Stage, target: str, framing: str) -> None:
    async with served(stage, max_in_flight=1) as port, wire(port) as busy, wire(port) as line:
        await busy.send(request("GET", "/hold"))
        await until(stage.entered)
        first = head(f"POST {target}", JSON | {"x-request-id": "first"}, BASKET, framing)
        await trickle(line, [first, *parts(BASKET, framing)])
        await line.send(request("GET", "/alive", headers={"x-request-id": "next", "connection": "close"}))
        assert await replies_of(line) == [(503, "first"), (200, "next")]
        stage.go_on.set()


BROKEN_ENDS = {
    "no size": b"zz\r\n",
    "no line end": b"3\r\nabcd",
    "a size beyond 64 bits": b"f" * 18 + b"\r\n",
    "a bad trailer": b"0\r\nbad trailer\r\n\r\n",
    "no HTTP at all": b"\0" * 40,
    "another request": request("GET", "/alive"),
}


@pytest.mark.parametrize("end", BROKEN_ENDS.values(), ids=BROKEN_ENDS)
@pytest.mark.parametrize(("target", "fields", "body", "status"), AT_ONCE.values(), ids=AT_ONCE)
async def test_body_that_breaks_after_the_answer_gets_no_second_one(
    port: int, target: str, fields: dict[str, str], body: bytes, status: int, end: bytes
) -> None:
    async with wire(port) as line:
        await line.send(head(target, fields | {"x-request-id": "first"}, body, CHUNKED))
        for part in parts(body, CHUNKED)[:-2]:
            await line.send(part)
        reply = await line.reply()
        assert (reply.status, reply.headers["x-request-id"]) == (status, "first")
        await trickle(line, [end, end])
        assert await line.rest() == b""


@pytest.mark.parametrize("end", BROKEN_ENDS.values(), ids=BROKEN_ENDS)
async def test_body_that_breaks_before_the_answer_gets_400_once(port: int, end: bytes) -> None:
    async with wire(port) as line:
        await line.send(head("POST /open", JSON, BASKET, CHUNKED) + parts(BASKET, CHUNKED)[0])
        await trickle(line, [end, end])
        assert (await line.reply()).code == "bad_request"
        assert await line.rest() == b""


async def test_garbage_after_a_complete_refused_request_gets_its_own_400(port: int) -> None:
    async with wire(port) as line:
        await line.send(head("POST /nowhere", JSON, BASKET, CHUNKED) + b"".join(parts(BASKET, CHUNKED)))
        assert (await line.reply()).status == 404
        await line.send(b"\0" * 40)
        assert (await line.reply()).code == "bad_request"
        assert await line.rest() == b""


async def test_body_that_stops_after_the_answer_gets_no_second_one(stage: Stage) -> None:
    async with served(stage, body_deadline_s=0.1, head_deadline_s=0.1) as port, wire(port) as line:
        await line.send(head("POST /nowhere", JSON, BASKET, BY_LENGTH) + BASKET[:3])
        assert (await line.reply()).status == 404
        await asyncio.sleep(0.3)  # both deadlines
        line.writer.write_eof()
        assert await line.rest() == b""


ENDING = {
    "expects 100": ("HTTP/1.1", {"expect": "100-continue"}),
    "asks to close": ("HTTP/1.1", {"connection": "close"}),
    "HTTP/1.0": ("HTTP/1.0", {}),
}


@pytest.mark.parametrize(("version", "more"), ENDING.values(), ids=ENDING)
async def test_refused_request_that_ends_the_connection_gets_one_answer(
    port: int, version: str, more: dict[str, str]
) -> None:
    async with wire(port) as line:
        first = head("POST /nowhere", JSON | more | {"x-request-id": "first"}, BASKET, BY_LENGTH)
        await trickle(line, [first.replace(b"HTTP/1.1", version.encode()), *parts(BASKET, BY_LENGTH)])
        await trickle(line, [request("GET", "/alive")])
        reply = await line.reply()
        assert (reply.status, reply.headers["x-request-id"], reply.headers["connection"]) == (404, "first", "close")
        assert await line.rest() == b""
