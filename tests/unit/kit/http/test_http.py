"""Responses of the HTTP layer over real sockets: each code at least once."""

from __future__ import annotations

import pytest

from autogrocery.kit.http.app import App, Route
from tests.harness.http_probe import Stage, ask, guard, request, routes, token, wire

BASKET = b'{"items":[{"sku":"milk","quantity":2}]}'
WRITER = token("orders:write")
READER = token("orders:read")


async def test_body_is_decoded_to_its_type_and_encoded_as_json(port: int) -> None:
    reply = await ask(port, "POST", "/api/client/basket", BASKET, bearer=WRITER)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json == {"items": [{"sku": "milk", "quantity": 2}], "note": ""}


async def test_no_response_has_a_server_header(port: int) -> None:
    assert "server" not in (await ask(port, "GET", "/alive")).headers


@pytest.mark.parametrize(
    "path",
    [
        "/api/client",
        "/api/client/",
        "/api/client/basket",
        "/api/client/nothing",
        "/api/client/a/b/c",
        "/api/truck/restock",
        "/api%2Fclient/basket",
        "/api/client/%6Eothing",
        "/api/client/login/",
    ],
)
async def test_path_below_a_guarded_prefix_without_a_token_is_401(port: int, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        reply = await ask(port, method, path)
        assert (reply.status, reply.code, reply.headers["www-authenticate"]) == (401, "invalid_token", "Bearer")


async def test_bad_token_is_401_invalid_token(port: int) -> None:
    reply = await ask(port, "GET", "/api/client/page", bearer="nonsense")
    assert (reply.status, reply.code) == (401, "invalid_token")
    assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("scheme", ["Basic", "Token", "Bearer\t", "", "BearerX"])
async def test_other_authentication_scheme_is_401(port: int, scheme: str) -> None:
    reply = await ask(port, "GET", "/api/client/orders/last", headers={"authorization": f"{scheme} {READER}"})
    assert reply.code == "invalid_token"


async def test_bearer_scheme_is_case_insensitive(port: int) -> None:
    reply = await ask(port, "GET", "/api/client/orders/last", headers={"authorization": f"bEARER {READER}"})
    assert reply.status == 200


async def test_token_without_the_scope_is_403_and_names_the_scope(port: int) -> None:
    reply = await ask(port, "POST", "/api/client/basket", BASKET, bearer=READER)
    assert (reply.status, reply.code) == (403, "insufficient_scope")
    assert reply.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="orders:write"'


async def test_exempt_path_accepts_a_missing_and_a_bad_token(port: int) -> None:
    assert (await ask(port, "POST", "/api/client/login", BASKET)).status == 200
    assert (await ask(port, "POST", "/api/client/login", BASKET, bearer="nonsense")).status == 200


async def test_unknown_path_is_404(port: int) -> None:
    for path in ("/nothing", "/api", "/api/clientele", "//open", "/open/", "/OPEN", "/fail/"):
        reply = await ask(port, "GET", path)
        assert (reply.status, reply.code) == (404, "not_found"), path


async def test_fixed_path_wins_over_a_pattern(port: int) -> None:
    assert (await ask(port, "GET", "/api/client/orders/last", bearer=READER)).json["params"] == {}
    assert (await ask(port, "GET", "/api/client/orders/x", bearer=READER)).json["params"] == {"order_id": "x"}


async def test_other_method_is_405_with_allow(port: int) -> None:
    reply = await ask(port, "DELETE", "/alive")
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")
    reply = await ask(port, "GET", "/open")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_head_returns_the_headers_of_get_without_a_body(port: int) -> None:
    got, head = await ask(port, "GET", "/fail/conflict"), await ask(port, "HEAD", "/fail/conflict")
    assert head.status == got.status == 409
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.body == b""


NO_JSON = {
    "empty": b"",
    "words": b"hello",
    "cut": BASKET[:-1],
    "more": BASKET + b"x",
    "two": BASKET * 2,
    "single quotes": b"{'items':[]}",
    "NaN": b'{"items":[{"sku":"a","quantity":NaN}]}',
    "Infinity": b'{"items":[{"sku":"a","quantity":Infinity}]}',
    "BOM": b"\xef\xbb\xbf" + BASKET,
    "UTF-16": BASKET.decode().encode("utf-16"),
    "bad UTF-8": b'{"items":[],"note":"\xff"}',
    "surrogates in UTF-8": b'{"items":[],"note":"\xed\xa0\x80"}',
    "lone surrogate": b'{"items":[],"note":"\\ud800"}',
    "surrogates turned round": b'{"items":[],"note":"\\udc00\\ud800"}',
    "raw NUL": b'{"items":[],"note":"\x00"}',
    "twice": b'{"items":[],"items":[]}',
    "nested twice": b'{"items":[{"sku":"a","quantity":1,"sku":"b"}]}',
    "twice by escape": b'{"items":[],"\\u0069tems":[]}',
    "deep": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000,
    "1e400": b'{"items":[{"sku":"a","quantity":1e400}]}',
    "comment": b'{"items":[] /* */}',
    "wrong and then broken": b'{"items":5,',
    "leading zero": b'{"items":[{"sku":"a","quantity":01}]}',
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON.keys())
async def test_invalid_json_is_400(port: int, body: bytes) -> None:
    reply = await ask(port, "POST", "/open", body)
    assert (reply.status, reply.code) == (400, "invalid_json")


MISSHAPEN = {
    "list": (b"[]", ""),
    "null": (b"null", ""),
    "missing": (b"{}", "/items"),
    "unknown": (b'{"items":[],"x":1}', "/x"),
    "text": (b'{"items":[{"sku":"a","quantity":"1"}]}', "/items/0/quantity"),
    "float": (b'{"items":[{"sku":"a","quantity":1.5}]}', "/items/0/quantity"),
    "bool": (b'{"items":[{"sku":"a","quantity":true}]}', "/items/0/quantity"),
    "zero": (b'{"items":[{"sku":"a","quantity":0}]}', "/items/0/quantity"),
    "negative": (b'{"items":[{"sku":"a","quantity":-1}]}', "/items/0/quantity"),
    "huge": (b'{"items":[{"sku":"a","quantity":99999999999999999999999999}]}', "/items/0/quantity"),
    "nested": (b'{"items":[{"sku":"a","quantity":1},{"sku":"b"}]}', "/items/1/quantity"),
    "slash": (b'{"items":[],"a/b~":1}', "/a~1b~0"),
}


@pytest.mark.parametrize(("body", "pointer"), MISSHAPEN.values(), ids=MISSHAPEN.keys())
async def test_wrong_shape_is_422_with_a_pointer(port: int, body: bytes, pointer: str) -> None:
    reply = await ask(port, "POST", "/open", body)
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [pointer]


async def test_u0000_is_422_unless_the_route_takes_it(port: int) -> None:
    body = b'{"items":[],"note":"a\\u0000"}'
    assert (await ask(port, "POST", "/open", body)).code == "invalid_request"
    assert (await ask(port, "POST", "/api/client/login", body)).json["note"] == "a\0"


async def test_escaped_backslash_before_u0000_is_accepted(port: int) -> None:
    assert (await ask(port, "POST", "/open", b'{"items":[],"note":"\\\\u0000"}')).json["note"] == "\\u0000"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/json5",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json;\tcharset=latin-1",
        'application/json; a=";charset=utf-8"; charset=latin-1',
        "application / json",
        "multipart/form-data; boundary=x",
        "application/vnd.a+json",
    ],
)
async def test_other_media_type_is_415(port: int, kind: str) -> None:
    reply = await ask(port, "POST", "/open", BASKET, headers={"content-type": kind})
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json;charset=utf-8",
        'Application/JSON; charset="UTF-8"',
        "application/json; charset=utf8",
        "application/json;\tCharset=UTF-8",
        'application/json; a=";charset=latin-1"',
    ],
)
async def test_every_spelling_of_json_in_utf8_is_accepted(port: int, kind: str) -> None:
    assert (await ask(port, "POST", "/open", BASKET, headers={"content-type": kind})).status == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity"])
async def test_content_coding_is_415(port: int, coding: str) -> None:
    assert (
        await ask(port, "POST", "/open", BASKET, headers={"content-encoding": coding})
    ).code == "unsupported_media_type"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=1&limit=2",
        "unknown=1",
        "q=%00",
        "q=%ff",
        "q",
        "&&",
        "q=1;q=2&limit=;",
        "&".join(f"a{n}=1" for n in range(40)),
    ],
)
async def test_bad_query_is_422(port: int, query: str) -> None:
    reply = await ask(port, "GET", f"/api/client/page?{query}", bearer=READER)
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_query_is_decoded_to_its_type(port: int) -> None:
    reply = await ask(port, "GET", "/api/client/page?limit=7&q=a%20b%C3%A9", bearer=READER)
    assert reply.json == {"limit": 7, "q": "a bé"}


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9", "a\tb"])
async def test_bad_idempotency_key_is_422(port: int, key: str) -> None:
    reply = await ask(
        port, "POST", "/api/client/keyed", bearer=READER, headers={"idempotency-key": key, "content-length": "0"}
    )
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_idempotency_key_reaches_the_action(port: int) -> None:
    reply = await ask(port, "POST", "/api/client/keyed", bearer=READER, headers={"idempotency-key": "k" * 255})
    assert reply.json["key"] == "k" * 255


@pytest.mark.parametrize("given", ["a", "A-b.c_9", "x" * 64])
async def test_valid_request_id_is_returned(port: int, given: str) -> None:
    assert (await ask(port, "GET", "/nothing", headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["x" * 65, "a b", "<script>", "é", "", "a,b"])
async def test_malformed_request_id_is_replaced(port: int, given: str) -> None:
    made = (await ask(port, "GET", "/nothing", headers={"x-request-id": given})).headers["x-request-id"]
    assert made != given
    assert len(made) == 24


@pytest.mark.parametrize(
    ("how", "status", "code", "retryable"),
    [
        ("conflict", 409, "taken", False),
        ("gone", 410, "hold_expired", False),
        ("down", 503, "database_unavailable", True),
        ("doubt", 503, "in_doubt", True),
        ("cancelled", 503, "interrupted", True),
        ("bug", 500, "internal_error", False),
    ],
)
async def test_each_error_family_has_its_status_and_code(
    port: int, how: str, status: int, code: str, *, retryable: bool
) -> None:
    reply = await ask(port, "GET", f"/fail/{how}")
    assert (reply.status, reply.code, reply.json["retryable"]) == (status, code, retryable)
    assert ("retry-after" in reply.headers) == (status == 503)
    assert int(reply.headers.get("retry-after", "1")) >= 1
    assert b"inside" not in reply.body


async def test_204_has_neither_body_nor_length(port: int) -> None:
    reply = await ask(port, "GET", "/fail/nothing")
    assert reply.status == 204
    assert not {"content-length", "content-type", "transfer-encoding"} & reply.headers.keys()


async def test_address_beyond_its_rate_is_429_with_retry_after(port: int) -> None:
    replies = [await ask(port, "POST", "/limited") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].code == "rate_limited"
    assert replies[2].json["retryable"]
    assert 2 <= int(replies[2].headers["retry-after"]) <= 3
    assert replies[2].headers["ratelimit-policy"] == '"a";q=2;w=4'
    assert replies[2].headers["ratelimit"] == '"a";r=0;t=2'


async def test_foreign_and_missing_resource_get_the_same_404(port: int) -> None:
    one, other = [await ask(port, "GET", path, headers={"x-request-id": "same"}) for path in ("/missing", "/else")]
    assert one.body == other.body


async def test_connection_serves_consecutive_requests(port: int) -> None:
    async with wire(port) as line:
        await line.send(
            request("POST", "/open", BASKET) + request("GET", "/nothing") + request("POST", "/open", b"broken")
        )
        assert [(await line.reply()).status for _ in range(3)] == [200, 404, 400]


def test_repeated_route_raises_at_start(stage: Stage) -> None:
    table = routes(stage)
    with pytest.raises(ValueError, match="stands twice"):
        App([*table, table[0]], guard())


def test_route_without_auth_below_a_guarded_prefix_raises_at_start(stage: Stage) -> None:
    with pytest.raises(ValueError, match="guard says otherwise"):
        App([Route("GET", "/api/client/leak", stage.basket, auth=False)], guard())


def test_route_with_auth_without_a_guard_raises_at_start(stage: Stage) -> None:
    with pytest.raises(ValueError, match="guard says otherwise"):
        App([Route("GET", "/closed", stage.basket)])


def test_guard_covers_its_prefixes_and_no_longer_names() -> None:
    covers = guard().covers  # of /api/client and /api/truck, except /api/client/login
    assert [covers(path) for path in ("/api/client", "/api/client/x")] == [True, True]
    assert [covers(path) for path in ("/api/clients", "/api/client/login", "/")] == [False, False, False]
