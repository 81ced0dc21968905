"""Offers to upgrade are ignored: the request is answered as HTTP/1.1 and the connection goes on (RFC 9110 §7.8)."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.harness.http_probe import Stage, request, served, token, until, wire

if TYPE_CHECKING:
    from pathlib import Path

BASKET = b'{"items":[{"sku":"milk","quantity":2}]}'
SETTINGS = "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"
H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": SETTINGS}
OFFERS = {
    "h2c": H2C,
    "h2c in other cases": {"connection": "uPGRADE,http2-settings", "upgrade": "H2C", "http2-settings": SETTINGS},
    "h2c that would stay": H2C | {"Connection": "keep-alive, Upgrade, HTTP2-Settings"},
    "several": H2C | {"Upgrade": "h2c, websocket, TLS/1.3, IRC/6.9"},
    "websocket": {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    },
    "unknown": {"Connection": "upgrade", "Upgrade": "carrier-pigeon/2"},
    "no protocol": {"Connection": "upgrade", "Upgrade": ""},
    "upgrade that Connection does not name": {"Upgrade": "h2c"},
    "Connection without an upgrade": {"Connection": "upgrade"},
}
HEAD = b"POST /open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
OFFER = b"".join(f"{name}: {value}\r\n".encode() for name, value in H2C.items())
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
BY_LENGTH = b"Content-Length: %d\r\n\r\n" % len(BASKET)
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BASKET), BASKET)
JAVA_S = 60
JAVA = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class Post {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int turn = 0; turn < 3; turn++) {
            HttpRequest post = HttpRequest.newBuilder(URI.create(arguments[0]))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(arguments[1])).build();
            var answer = client.send(post, BodyHandlers.ofString());
            System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body());
        }
    }
}
"""


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/open", BASKET, 200),
        ("POST", "/open", b"{", 400),
        ("POST", "/api/client/basket", BASKET, 401),
        ("GET", "/alive", None, 200),
        ("GET", "/alive", BASKET, 200),
        ("HEAD", "/alive", None, 200),
        ("DELETE", "/alive", None, 405),
    ],
)
async def test_offer_is_ignored_and_the_connection_goes_on(
    port: int, offer: dict[str, str], method: str, path: str, body: bytes | None, status: int
) -> None:
    async with wire(port) as line:
        for _ in range(2):
            await line.send(request(method, path, body, headers=offer))
            reply = await line.reply(head_only=method == "HEAD")
            assert reply.status == status
            assert not {"upgrade", "connection"} & reply.headers.keys()
        await line.send(request("POST", "/open", BASKET))
        assert (await line.reply()).body == b'{"items":[{"sku":"milk","quantity":2}],"note":""}'


@pytest.mark.parametrize("framed", [BY_LENGTH + BASKET, CHUNKED + CHUNKS], ids=["by length", "chunked"])
async def test_request_with_an_offer_is_read_whatever_the_packets(port: int, framed: bytes) -> None:
    whole = HEAD + OFFER + framed
    for size in (1, 7, len(whole) - 1):
        async with wire(port) as line:
            for at in range(0, len(whole), size):
                await line.send(whole[at : at + size])
                await asyncio.sleep(0)
            assert (await line.reply()).status == 200
            await line.send(request("GET", "/alive"))
            assert (await line.reply()).status == 200


async def test_offers_are_pipelined_in_order(port: int) -> None:
    names = [f"n{number}" for number in range(12)]
    sent = [request("POST", "/open", BASKET, headers={**H2C, "x-request-id": name}) for name in names[::2]]
    plain = [request("GET", "/alive", headers={"x-request-id": name}) for name in names[1::2]]
    async with wire(port) as line:
        await line.send(b"".join(one + other for one, other in zip(sent, plain, strict=True)))
        assert [(await line.reply()).headers["x-request-id"] for _ in names] == names


async def test_body_of_a_request_with_an_offer_is_not_parsed_as_a_request(port: int) -> None:
    hidden = request("GET", "/hold")
    async with wire(port) as line:
        await line.send(HEAD + OFFER + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden)
        assert (await line.reply()).code == "invalid_json"
        await line.send(request("GET", "/alive", headers={"x-request-id": "next"}))
        assert (await line.reply()).headers["x-request-id"] == "next"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n{}  ",
    ],
)
async def test_ambiguous_frame_with_an_offer_returns_400_and_closes(port: int, framing: bytes) -> None:
    async with wire(port) as line:
        await line.send(HEAD + OFFER + framing + request("GET", "/alive"))
        assert (await line.reply()).code == "bad_request"
        assert await line.rest() == b""


async def test_other_protocol_behind_an_offer_ends_the_connection(port: int) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    async with wire(port) as line:
        await line.send(request("GET", "/alive", headers=H2C) + preface)
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await line.rest() == b""
    async with wire(port) as line:
        await line.send(request("GET", "/alive", headers=H2C))
        assert (await line.reply()).status == 200
        await line.send(preface)
        assert (await line.reply()).code == "bad_request"
        assert await line.rest() == b""


async def test_close_beside_an_offer_closes(port: int) -> None:
    async with wire(port) as line:
        await line.send(request("GET", "/alive", headers=H2C | {"Connection": "Upgrade, close, HTTP2-Settings"}))
        reply = await line.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await line.rest() == b""


async def test_expect_continue_with_an_offer_gets_100(port: int) -> None:
    async with wire(port) as line:
        await line.send(HEAD + OFFER + b"Expect: 100-continue\r\n" + BY_LENGTH)
        assert (await line.reply()).status == 100
        await line.send(BASKET)
        assert (await line.reply()).status == 200


async def test_overloaded_server_refuses_a_request_with_an_offer_once(stage: Stage) -> None:
    async with served(stage, max_in_flight=1) as port, wire(port) as busy, wire(port) as line:
        await busy.send(request("GET", "/hold"))
        await until(stage.entered)
        await line.send(request("POST", "/open", BASKET, headers=H2C))
        assert (await line.reply()).code == "overloaded"
        await line.send(request("GET", "/alive"))
        assert (await line.reply()).status == 200
        stage.go_on.set()


async def test_connect_is_no_offer_and_closes(port: int) -> None:
    async with wire(port) as line:
        await line.send(b"CONNECT /alive HTTP/1.1\r\nHost: localhost\r\n\r\n" + request("GET", "/alive"))
        assert (await line.reply()).status == 405
        assert await line.rest() == b""


async def output_of(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(JAVA_S):
        printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


@pytest.mark.timeout(JAVA_S + 10)
@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java here")
async def test_java_default_client_posts(port: int, tmp_path: Path) -> None:
    source = tmp_path / "Post.java"
    source.write_text(JAVA, encoding="ascii")
    printed = await output_of("java", "-Xshare:auto", str(source), f"http://127.0.0.1:{port}/open", BASKET.decode())
    assert printed.splitlines() == ['HTTP_1_1 200 {"items":[{"sku":"milk","quantity":2}],"note":""}'] * 3


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_curl_http2_posts(port: int) -> None:
    if "HTTP2" not in await output_of("curl", "--version"):
        pytest.skip("this curl does not speak HTTP/2")
    fields = ("-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {token('orders:write')}")
    url = f"http://127.0.0.1:{port}/api/client/basket"
    written = await output_of(
        "curl", "-q", "--noproxy", "*", "-sS", "--http2", *fields, "-d", BASKET.decode(), "-w", "|%{http_code}", url
    )
    assert written == '{"items":[{"sku":"milk","quantity":2}],"note":""}|200'
