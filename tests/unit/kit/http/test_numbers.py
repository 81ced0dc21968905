"""An integer is a JSON number without a fractional part, in bodies as in queries; nothing else is one."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from msgspec import Meta, Struct, ValidationError

from autogrocery.kit.http.numbers import convert_texts, decode_with_integers
from autogrocery.kit.http.openapi import document
from tests.harness.http_probe import Stage, ask, routes, token

READER = token("orders:read")
INTEGERS = {
    "2": 2,
    "2.0": 2,
    "2.000": 2,
    "20e-1": 2,
    "2e0": 2,
    "1e2": 100,
    "1E2": 100,
    "1E+2": 100,
    "0.1e1": 1,
    "100.0e0": 100,
    "1" + "." + "0" * 500: 1,
    "1" + "0" * 300 + "e-300": 1,
}
OTHERS = [
    "2.5",
    "1.0000000000000000001",
    "99.99999999999999999999",
    "1e-400",
    "0.0",
    "-0",
    "-1.0",
    "0",
    "101",
    "1e3",
    "9223372036854775808.0",
    "18446744073709551616",
    "1e308",
    "1e400",
    "1e999999999",
    "1e-999999999",
    "+2",
    "02",
    "2.",
    ".2",
    "1_0",
    "0x2",
    "2e",
    "NaN",
    "Infinity",
    "null",
    "true",
    "True",
    '"2"',
    "\u0662",
    "\uff12",
    "\u00b2",
    "2,0",
    "[2]",
    "",
    " 2",
    "2 ",
    "2\u00a0",
    "2\n",
]


async def by_query(port: int, text: str) -> tuple[int, Any]:
    reply = await ask(port, "GET", f"/api/client/page?limit={quote(text)}", bearer=READER)
    return reply.status, reply.json


async def by_body(port: int, text: str) -> tuple[int, Any]:
    body = b'{"items":[{"sku":"milk","quantity":%b}]}' % text.encode()
    reply = await ask(port, "POST", "/open", body)
    return reply.status, reply.json


@pytest.mark.parametrize(("text", "value"), INTEGERS.items())
async def test_integer_is_accepted_in_body_and_query(port: int, text: str, value: int) -> None:
    assert await by_query(port, text) == (200, {"limit": value, "q": ""})
    assert await by_body(port, text) == (200, {"items": [{"sku": "milk", "quantity": value}], "note": ""})


@pytest.mark.parametrize("text", OTHERS)
async def test_anything_else_is_refused_in_body_and_query(port: int, text: str) -> None:
    if text not in {"101", " 2", "2 ", "2\n"}:  # within the body's bounds; blanks beside a JSON value mean nothing
        status, problem = await by_body(port, text)
        assert (status, problem["code"]) in {(422, "invalid_request"), (400, "invalid_json")}
    status, problem = await by_query(port, text)
    assert (status, problem["code"], problem["errors"][0]["pointer"]) == (422, "invalid_request", "/limit")


async def test_first_flaw_beside_an_integer_with_a_fraction_is_named(port: int) -> None:
    for body, pointer in (
        (b'{"items":[{"sku":"a","quantity":2.0},{"sku":"b","quantity":2.5}]}', "/items/1/quantity"),
        (b'{"items":[{"sku":"a","quantity":2.0}],"extra":1}', "/extra"),
        (b'{"items":[{"sku":2.0,"quantity":2.0}]}', "/items/0/sku"),
        (b'{"items":[{"sku":"a","quantity":1e3}]}', "/items/0/quantity"),
    ):
        reply = await ask(port, "POST", "/open", body)
        assert (reply.status, [flaw["pointer"] for flaw in reply.json["errors"]]) == (422, [pointer])


async def test_u0000_beside_an_integer_with_a_fraction_is_refused(port: int) -> None:
    body = b'{"items":[{"sku":"a\\u0000","quantity":2.0}]}'
    assert (await ask(port, "POST", "/open", body)).code == "invalid_request"


@pytest.mark.parametrize("number", [b"1.0", b"1e0", b"1" + b"0" * 300 + b"e-300", b"0." + b"0" * 3_000 + b"1e3001"])
async def test_64_kib_of_integers_with_fractions_are_read_in_time(port: int, number: bytes) -> None:
    line = b'{"sku":"","quantity":' + number + b"}"
    body = b'{"items":[' + b",".join([line] * (65_000 // (len(line) + 1))) + b"]}"
    took_s = []
    for _ in range(3):
        began = time.perf_counter()
        assert (await ask(port, "POST", "/open", body)).status == 200
        took_s.append(time.perf_counter() - began)
    assert min(took_s) < 0.1


@pytest.mark.parametrize("query", ["q=%", "q=%2", "q=%zz", "q=a%+b", "%=a", "q=%%34", "q=%u00e9", "q=%C3%28"])
async def test_malformed_escape_is_422(port: int, query: str) -> None:
    reply = await ask(port, "GET", f"/api/client/page?{query}", bearer=READER)
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_empty_text_and_escaped_percent_are_accepted(port: int) -> None:
    for query, value in (("q=", ""), ("q=100%25", "100%"), ("q=%2B5", "+5"), ("q=1e2", "1e2")):
        reply = await ask(port, "GET", f"/api/client/page?{query}", bearer=READER)
        assert reply.json == {"limit": 10, "q": value}


def test_query_fields_are_documented_without_null() -> None:
    parameters = document(routes(Stage()), "test")["paths"]["/api/client/page"]["get"]["parameters"]
    assert parameters[0] == {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": 100},
    }
    assert all("anyOf" not in one["schema"] for one in parameters)


def test_query_of_texts_is_left_as_it_is() -> None:
    assert convert_texts({"after": "2.0", "": "x"}, dict[str, str]) == {"after": "2.0", "": "x"}


def test_integers_of_63_bits_are_exact() -> None:
    class Wide(Struct, frozen=True):
        after: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

    for value in ((1 << 63) - 1, -(1 << 63), (1 << 53) + 1):
        assert convert_texts({"after": f"{value}.0"}, Wide) == Wide(value)
        assert decode_with_integers(b'{"after":%d.0}' % value, Wide) == Wide(value)
    with pytest.raises(ValidationError):
        convert_texts({"after": f"{1 << 63}.0"}, Wide)
