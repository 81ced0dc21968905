"""Malformed and unusual HTTP requests: each has its response, then the connection closes or keeps its framing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.harness.http_probe import Stage, request, served, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = b"Host: localhost\r\n"
GET = b"GET /alive HTTP/1.1\r\n" + HOST
POST = b"POST /open HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
BODY = b'{"items":[]}'
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
CHUNK = b"c\r\n" + BODY + b"\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BAD = (400, "bad_request")
CLOSES, STAYS_OPEN = True, False


def length(text: bytes) -> bytes:
    return POST + b"Content-Length: " + text + b"\r\n\r\n" + BODY


def coding(text: bytes) -> bytes:
    return POST + b"Transfer-Encoding: " + text + b"\r\n\r\n" + CHUNK + b"0\r\n\r\n"


NOT_HTTP = {
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP": b"EHLO mart\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "PROXY protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GET + b"\r\n",
    "TLS hello": bytes.fromhex("16030100c8010000c40303") + b"\0" * 193,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": b"\0" * 100,
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}
FIRST_LINES = {
    "unknown method": b"BREW /alive HTTP/1.1\r\n",
    "method in small letters": b"get /alive HTTP/1.1\r\n",
    "space before the method": b" GET /alive HTTP/1.1\r\n",
    "tabs for spaces": b"GET\t/alive\tHTTP/1.1\r\n",
    "space in the target": b"GET /al ive HTTP/1.1\r\n",
    "NUL in the target": b"GET /al\0ive HTTP/1.1\r\n",
    "target beyond ASCII": b"GET /al\xffive HTTP/1.1\r\n",
    "absolute-form without a path": b"GET http://elsewhere HTTP/1.1\r\n",
    "authority-form": b"CONNECT db:5432 HTTP/1.1\r\n",
    "HTTP/1.2": b"GET /alive HTTP/1.2\r\n",
    "HTTP/2.0": b"GET /alive HTTP/2.0\r\n",
    "HTTP/11": b"GET /alive HTTP/11\r\n",
    "LF alone": b"GET /alive HTTP/1.1\n",
    "CR alone": b"GET /alive HTTP/1.1\r",
}
FIELDS = {
    "no Host": b"X: y\r\n",
    "two Hosts": HOST + b"Host: elsewhere\r\n",
    "one Host twice": HOST + HOST,
    "a Host in two words": b"Host: local host\r\n",
    "a Host with a user": b"Host: me@localhost\r\n",
    "a list of Hosts": b"Host: localhost, elsewhere\r\n",
    "space before the colon": b"Host : localhost\r\n",
    "space in a name": HOST + b"a b: 1\r\n",
    "no name": HOST + b": 1\r\n",
    "no colon": HOST + b"nonsense\r\n",
    "name beyond ASCII": HOST + b"x\xff: 1\r\n",
    "NUL in a value": HOST + b"x: \0\r\n",
    "obs-fold": HOST + b"x: 1\r\n 2\r\n",
    "obs-fold at first": b" Host: localhost\r\n",
    "LF alone between fields": b"Host: localhost\nx: 1\r\n",
    "CR alone in a value": HOST + b"x: 1\ry: 2\r\n",
    "two Authorizations": HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "two Idempotency-Keys": HOST + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
}
FRAMES = {
    "CL and TE": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
    "TE and CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
    "two lengths": POST + b"Content-Length: 12\r\nContent-Length: 5\r\n\r\n" + BODY,
    "one length twice": POST + b"Content-Length: 12\r\nContent-Length: 12\r\n\r\n" + BODY,
    "list of lengths": length(b"12, 12"),
    "length with a plus": length(b"+12"),
    "negative length": length(b"-12"),
    "length in hex": length(b"0xc"),
    "length with a gap": length(b"1 2"),
    "length with an underscore": length(b"1_2"),
    "no length in the field": length(b""),
    "length beyond 64 bits": length(b"99999999999999999999999"),
    "TE gzip": coding(b"gzip"),
    "TE identity": coding(b"identity"),
    "TE gzip, chunked": coding(b"gzip, chunked"),
    "TE chunked, gzip": coding(b"chunked, gzip"),
    "TE chunked, chunked": coding(b"chunked, chunked"),
    "TE twice": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n" + CHUNK + b"0\r\n\r\n",
    "TE xchunked": coding(b"xchunked"),
    "TE behind a vertical tab": coding(b"\x0bchunked"),
    "TE in quotes": coding(b'"chunked"'),
    "TE in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNK + b"0\r\n\r\n",
    "negative chunk": CHUNKED + b"-c\r\n" + BODY,
    "chunk size with 0x": CHUNKED + b"0xc\r\n" + BODY,
    "chunk size beyond 64 bits": CHUNKED + b"f" * 18 + b"\r\n" + BODY,
    "chunk longer than it says": CHUNKED + b"b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk without its end": CHUNKED + b"c\r\n" + BODY + b"0\r\n\r\n",
    "chunks with LF alone": CHUNKED + b"c\n" + BODY + b"\n0\n\n",
    "chunk extension with LF alone": CHUNKED + b"c;\n" + BODY + b"\r\n0\r\n\r\n",
    "CL and TE and an upgrade": POST
    + UPGRADE
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + GET
    + b"\r\n",
    "TE gzip and an upgrade": POST + UPGRADE + b"Transfer-Encoding: gzip\r\n\r\n" + BODY,
    "CONNECT with a body": b"CONNECT /alive HTTP/1.1\r\n" + HOST + b"Content-Length: 12\r\n\r\n" + BODY,
}
BROKEN = (
    NOT_HTTP
    | {name: line + HOST + b"\r\n" for name, line in FIRST_LINES.items()}
    | {name: b"GET /alive HTTP/1.1\r\n" + fields + b"\r\n" for name, fields in FIELDS.items()}
    | FRAMES
)
LARGE = {
    "URI of 3 KiB": (b"GET /" + b"a" * 3_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long", STAYS_OPEN),
    "URI without end": (b"GET /" + b"a" * 20_000, 414, "uri_too_long", CLOSES),
    "65 fields": (GET + b"a: b\r\n" * 64 + b"\r\n", 431, "headers_too_large", CLOSES),
    "4,000 fields": (GET + b"a:\r\n" * 4_000 + b"\r\n", 431, "headers_too_large", CLOSES),
    "17 KiB of fields": (GET + b"a: " + b"b" * 17_000 + b"\r\n\r\n", 431, "headers_too_large", STAYS_OPEN),
    "field without end": (GET + b"a: " + b"b" * 18_500, 431, "headers_too_large", CLOSES),
    "length of 64 KiB and one": (length(b"65537") + b" " * 65_525, 413, "payload_too_large", STAYS_OPEN),
    "chunks of 68 KiB": (
        CHUNKED + (b"1000\r\n" + b"x" * 4_096 + b"\r\n") * 17 + b"0\r\n\r\n",
        413,
        "payload_too_large",
        STAYS_OPEN,
    ),
}
UNUSUAL = {
    "empty lines first": (b"\r\n\r\n" + GET + b"\r\n", 200, STAYS_OPEN),
    "absolute-form": (b"GET http://elsewhere/alive HTTP/1.1\r\n" + HOST + b"\r\n", 200, STAYS_OPEN),
    "asterisk-form": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404, STAYS_OPEN),
    "CONNECT with a path": (b"CONNECT /alive HTTP/1.1\r\n" + HOST + b"\r\n", 405, CLOSES),
    "TRACE": (b"TRACE /alive HTTP/1.1\r\n" + HOST + b"\r\n", 405, STAYS_OPEN),
    "PROPFIND": (b"PROPFIND /alive HTTP/1.1\r\n" + HOST + b"\r\n", 405, STAYS_OPEN),
    "HTTP/1.0 without Host": (b"GET /alive HTTP/1.0\r\n\r\n", 200, CLOSES),
    "HTTP/1.0 that would stay": (b"GET /alive HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, CLOSES),
    "empty Host": (b"GET /alive HTTP/1.1\r\nHost:\r\n\r\n", 200, STAYS_OPEN),
    "64 fields": (GET + b"a: b\r\n" * 63 + b"\r\n", 200, STAYS_OPEN),
    "two slashes": (b"GET //alive HTTP/1.1\r\n" + HOST + b"\r\n", 404, STAYS_OPEN),
    "a way up": (b"GET /x/../alive HTTP/1.1\r\n" + HOST + b"\r\n", 404, STAYS_OPEN),
    "a bad escape": (b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 404, STAYS_OPEN),
    "a body where none is asked for": (GET + b"Content-Length: 12\r\n\r\n" + BODY, 200, STAYS_OPEN),
    "a length with a zero before it": (length(b"012"), 200, STAYS_OPEN),
    "Chunked in capitals": (coding(b"CHUNKED"), 200, STAYS_OPEN),
    "a chunk extension": (CHUNKED + b"c;a=b\r\n" + BODY + b"\r\n0\r\n\r\n", 200, STAYS_OPEN),
    "Transfer_Encoding": (POST + b"Transfer_Encoding: chunked\r\nContent-Length: 12\r\n\r\n" + BODY, 200, STAYS_OPEN),
    "an upgrade to HTTP/2": (GET + UPGRADE + b"\r\n", 200, STAYS_OPEN),
    "an upgrade to HTTP/2 with a body": (
        POST + UPGRADE + b"Content-Length: 12\r\n\r\n" + BODY,
        200,
        STAYS_OPEN,
    ),
    "a websocket": (GET + UPGRADE.replace(b"h2c", b"websocket") + b"\r\n", 200, STAYS_OPEN),
    "an upgrade in HTTP/1.0": (b"GET /alive HTTP/1.0\r\n" + UPGRADE + b"\r\n", 200, CLOSES),
    "the last request": (GET + b"Connection: close\r\n\r\n", 200, CLOSES),
    "gzip": (POST + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + BODY, 415, STAYS_OPEN),
    "expects a pony": (POST + b"Expect: a-pony\r\nContent-Length: 12\r\n\r\n" + BODY, 200, STAYS_OPEN),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    async with served(Stage(), head_deadline_s=1.0) as port:
        yield port


async def answered(port: int, octets: bytes, *, closes: bool) -> tuple[int, str]:
    """Return status and code; check that the connection has closed, or that the next request on it is answered."""
    async with wire(port) as line:
        await line.send(octets)
        reply = await line.reply()
        if closes:
            assert await line.rest() == b""
        else:
            await line.send(request("POST", "/open", BODY))
            assert (await line.reply()).status == 200
    return reply.status, reply.code if reply.status >= 400 else ""


@pytest.mark.parametrize("octets", BROKEN.values(), ids=BROKEN.keys())
async def test_malformed_or_ambiguous_request_returns_400_and_closes(port: int, octets: bytes) -> None:
    assert await answered(port, octets, closes=CLOSES) == BAD


@pytest.mark.parametrize(("octets", "status", "code", "closes"), LARGE.values(), ids=LARGE.keys())
async def test_too_large_request_returns_413_414_or_431(
    port: int, octets: bytes, status: int, code: str, *, closes: bool
) -> None:
    assert await answered(port, octets, closes=closes) == (status, code)


@pytest.mark.parametrize("size", [65_537, 8 << 30])
async def test_too_large_content_length_returns_413_before_the_body(port: int, size: int) -> None:
    async with wire(port) as line:
        await line.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        assert (await line.reply()).code == "payload_too_large"


@pytest.mark.parametrize(("octets", "status", "closes"), UNUSUAL.values(), ids=UNUSUAL.keys())
async def test_unusual_valid_request_is_answered_and_keeps_framing(
    port: int, octets: bytes, status: int, *, closes: bool
) -> None:
    assert (await answered(port, octets, closes=closes))[0] == status


async def test_body_of_refused_message_is_not_parsed_as_a_request(port: int) -> None:
    hidden = b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\n"
    async with wire(port) as line:
        await line.send(POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden)
        assert (await line.reply()).status == 400
        assert await line.rest() == b""


async def test_http_0_9_request_returns_408(port: int) -> None:
    async with wire(port) as line:
        await line.send(b"GET /alive\r\n")
        assert (await line.reply()).status == 408
        assert await line.rest() == b""


async def test_pipelined_requests_beyond_the_queue_are_not_answered(port: int) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/alive") * 5_000)
        replies = []
        while not replies or replies[-1].headers.get("connection") != "close":
            replies.append(await line.reply())
        assert await line.rest() == b""
    assert {reply.status for reply in replies} == {200}
    assert len(replies) == 17


async def test_pipelined_requests_within_the_queue_are_answered_in_order(port: int) -> None:
    async with wire(port) as line:
        names = [f"n{number}" for number in range(17)]
        await line.send(b"".join(request("GET", "/alive", headers={"x-request-id": name}) for name in names))
        assert [(await line.reply()).headers["x-request-id"] for _ in names] == names
        await line.send(request("GET", "/alive"))
        assert (await line.reply()).status == 200
