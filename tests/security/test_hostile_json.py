"""Hostile JSON bodies: each is refused with 4xx and a code within 50 ms."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.harness.http_probe import Stage, request, served, wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_S = 0.05
FULL = 64 << 10


def filled(front: bytes, filling: bytes, back: bytes = b"") -> bytes:
    """Return `front`, repeated `filling` and `back`, 64 KiB in all."""
    return front + filling * ((FULL - len(front) - len(back)) // len(filling)) + back


def quantity(number: bytes) -> bytes:
    return b'{"items":[{"sku":"milk","quantity":' + number + b"}]}"


INVALID_JSON = {
    "64 KiB of [": b"[" * FULL,
    '64 KiB of {"a":': filled(b"", b'{"a":'),
    "64 KiB of [ closed again": b"[" * (FULL // 2) + b"]" * (FULL // 2),
    "deep beside what is known": filled(b'{"items":', b"["),
    "NaN": quantity(b"NaN"),
    "Infinity": quantity(b"-Infinity"),
    "1e400": quantity(b"1e400"),
    "-1e400": quantity(b"-1e400"),
    "an exponent of 60,000 digits": filled(b'{"items":[],"note":1e', b"9", b"}"),
    "a hex number": quantity(b"0x10"),
    "a number with a plus": quantity(b"+1"),
    "a number that begins with a dot": quantity(b".5"),
    "a leading zero": quantity(b"01"),
    "a BOM": b'\xef\xbb\xbf{"items":[]}',
    "UTF-16": '{"items":[]}'.encode("utf-16-le"),
    "UTF-32": '{"items":[]}'.encode("utf-32"),
    "a byte that is no UTF-8": b'{"items":[],"note":"\xff"}',
    "a slash in two bytes": b'{"items":[],"note":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"items":[],"note":"\xed\xa0\x80"}',
    "beyond U+10FFFF": b'{"items":[],"note":"\xf4\x90\x80\x80"}',
    "UTF-8 cut off": b'{"items":[],"note":"\xe2\x82"}',
    "a lone surrogate": b'{"items":[],"note":"\\ud800"}',
    "surrogates the wrong way round": b'{"items":[],"note":"\\udc00\\ud800"}',
    "half of an escape": b'{"items":[],"note":"\\u00"}',
    "an unknown escape": b'{"items":[],"note":"\\x41"}',
    "a raw NUL": b'{"items":[],"note":"\x00"}',
    "a raw line feed": b'{"items":[],"note":"\n"}',
    "a member twice": b'{"items":[],"items":[]}',
    "a member twice by an escape": b'{"items":[],"\\u0069tems":[]}',
    "a member twice below": b'{"items":[{"sku":"a","quantity":1,"sku":"b"}]}',
    "an unknown member twice": b'{"x":1,"x":2,"items":[]}',
    "a comma at the end": b'{"items":[],}',
    "a comment": b'{"items":[]} // all',
    "single quotes": b"{'items':[]}",
    "two texts": b'{"items":[]}{"items":[]}',
    "nothing": b"",
    "64 KiB of spaces": b" " * FULL,
    "a text without end": filled(b'{"items":[],"note":"', b"a"),
    "escapes without end": filled(b'{"items":[],"note":"', b"\\u0061"),
}
WRONG_SHAPE = {
    "a huge number": quantity(b"9" * 26),
    "64 bits and one": quantity(b"18446744073709551616"),
    "less than nothing": quantity(b"-9223372036854775809"),
    "a number of 4,000 digits": quantity(b"9" * 4_000),
    "a fraction": quantity(b"1.0000000000000000001"),
    "a number in quotes": quantity(b'"1"'),
    "a name with U+0000": b'{"items":[],"a\\u0000":1}',
    "U+0000": b'{"items":[],"note":"a\\u0000b"}',
    "null for a list": b'{"items":null}',
    "a list for everything": b"[]",
    "13,000 wrong lines": filled(b'{"items":[', b"null,", b"null]}"),
    "5,000 unknown members": b"{" + b",".join(b'"k%d":0' % number for number in range(5_000)) + b"}",
    "a name of 60,000 letters": filled(b'{"', b"k", b'":1}'),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    async with served(Stage()) as port:
        yield port


async def quickest(port: int, body: bytes) -> tuple[int, str, float]:
    """Return status and code of a body, and the shortest of three times, because the machine is shared."""
    took_s = []
    async with wire(port) as line:
        for _ in range(3):
            began = time.perf_counter()
            await line.send(request("POST", "/open", body))
            reply = await line.reply()
            took_s.append(time.perf_counter() - began)
    assert len(reply.body) < 1_000  # the response does not echo the body
    return reply.status, reply.code, min(took_s)


@pytest.mark.parametrize("body", INVALID_JSON.values(), ids=INVALID_JSON.keys())
async def test_invalid_or_ambiguous_json_returns_400_within_50_ms(port: int, body: bytes) -> None:
    status, code, took_s = await quickest(port, body)
    assert (status, code) == (400, "invalid_json")
    assert took_s < MAX_S


@pytest.mark.parametrize("body", WRONG_SHAPE.values(), ids=WRONG_SHAPE.keys())
async def test_json_of_wrong_shape_returns_422_within_50_ms(port: int, body: bytes) -> None:
    status, code, took_s = await quickest(port, body)
    assert (status, code) == (422, "invalid_request")
    assert took_s < MAX_S


async def test_number_of_60_000_digits_is_refused_within_50_ms(port: int) -> None:
    status, _, took_s = await quickest(port, filled(b'{"items":[{"sku":"a","quantity":', b"9", b"}]}"))
    assert status in {400, 422}
    assert took_s < MAX_S


async def test_unusual_valid_texts_return_200(port: int) -> None:
    async with wire(port) as line:
        for note in ("\\\\u0000", "\\ud83d\\ude00", "\ufeff", "\u202e", "__proto__", "NaN"):
            await line.send(request("POST", "/open", f'{{"items":[],"note":"{note}"}}'.encode()))
            assert (await line.reply()).status == 200
