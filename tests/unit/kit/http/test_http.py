"""What callers are told, over real HTTP: every code of the layer, once."""

from __future__ import annotations

import pytest

from autogrocery.kit.http.app import App, Guard, Route
from tests.harness.http_probe import Stage, ask, guard, request, routes, token, wire

BASKET = b'{"items":[{"sku":"milk","quantity":2}]}'
WRITER = token("orders:write")
READER = token("orders:read")


async def test_a_body_comes_in_typed_and_goes_out_as_json(port: int) -> None:
    reply = await ask(port, "POST", "/api/client/basket", BASKET, bearer=WRITER)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json == {"items": [{"sku": "milk", "quantity": 2}], "note": ""}


async def test_no_answer_names_the_server(port: int) -> None:
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
async def test_every_path_below_the_prefixes_asks_for_a_token_before_it_says_more(port: int, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        reply = await ask(port, method, path)
        assert (reply.status, reply.code, reply.headers["www-authenticate"]) == (401, "invalid_token", "Bearer")


async def test_a_bad_token_is_named_as_such(port: int) -> None:
    reply = await ask(port, "GET", "/api/client/page", bearer="nonsense")
    assert (reply.status, reply.code) == (401, "invalid_token")
    assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("scheme", ["Basic", "Token", "Bearer\t", "", "BearerX"])
async def test_only_the_bearer_scheme_opens(port: int, scheme: str) -> None:
    reply = await ask(port, "GET", "/api/client/orders/last", headers={"authorization": f"{scheme} {READER}"})
    assert reply.code == "invalid_token"


async def test_the_scheme_is_read_in_any_case(port: int) -> None:
    reply = await ask(port, "GET", "/api/client/orders/last", headers={"authorization": f"bEARER {READER}"})
    assert reply.status == 200


async def test_a_token_without_the_scope_is_told_which(port: int) -> None:
    reply = await ask(port, "POST", "/api/client/basket", BASKET, bearer=READER)
    assert (reply.status, reply.code) == (403, "insufficient_scope")
    assert reply.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="orders:write"'


async def test_exempt_paths_need_no_token_and_do_not_mind_a_bad_one(port: int) -> None:
    assert (await ask(port, "POST", "/api/client/login", BASKET)).status == 200
    assert (await ask(port, "POST", "/api/client/login", BASKET, bearer="nonsense")).status == 200


async def test_nothing_there_is_404(port: int) -> None:
    for path in ("/nothing", "/api", "/api/clientele", "//open", "/open/", "/OPEN", "/fail/"):
        reply = await ask(port, "GET", path)
        assert (reply.status, reply.code) == (404, "not_found"), path


async def test_a_path_that_is_fixed_wins_over_a_pattern(port: int) -> None:
    assert (await ask(port, "GET", "/api/client/orders/last", bearer=READER)).json["params"] == {}
    assert (await ask(port, "GET", "/api/client/orders/x", bearer=READER)).json["params"] == {"order_id": "x"}


async def test_another_method_is_405_with_those_allowed(port: int) -> None:
    reply = await ask(port, "DELETE", "/alive")
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")
    reply = await ask(port, "GET", "/open")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_head_is_get_without_the_body(port: int) -> None:
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
async def test_what_is_no_json_is_400(port: int, body: bytes) -> None:
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
async def test_another_shape_is_422_with_a_pointer(port: int, body: bytes, pointer: str) -> None:
    reply = await ask(port, "POST", "/open", body)
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert [flaw["pointer"] for flaw in reply.json["errors"]] == [pointer]


async def test_u0000_is_refused_where_texts_are_kept_and_seen_where_they_are_judged(port: int) -> None:
    body = b'{"items":[],"note":"a\\u0000"}'
    assert (await ask(port, "POST", "/open", body)).code == "invalid_request"
    assert (await ask(port, "POST", "/api/client/login", body)).json["note"] == "a\0"


async def test_an_escaped_backslash_before_u0000_is_a_text_like_any_other(port: int) -> None:
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
        "multipart/form-data; boundary=x",
        "application/vnd.a+json",
    ],
)
async def test_another_media_type_is_415(port: int, kind: str) -> None:
    reply = await ask(port, "POST", "/open", BASKET, headers={"content-type": kind})
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "kind", ["application/json;charset=utf-8", 'Application/JSON; charset="UTF-8"', "application/json; charset=utf8"]
)
async def test_json_in_utf8_may_be_spelt_in_many_ways(port: int, kind: str) -> None:
    assert (await ask(port, "POST", "/open", BASKET, headers={"content-type": kind})).status == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity"])
async def test_a_content_coding_is_415(port: int, coding: str) -> None:
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
async def test_a_bad_query_is_422(port: int, query: str) -> None:
    reply = await ask(port, "GET", f"/api/client/page?{query}", bearer=READER)
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_a_query_comes_in_typed(port: int) -> None:
    reply = await ask(port, "GET", "/api/client/page?limit=7&q=a%20b%C3%A9", bearer=READER)
    assert reply.json == {"limit": 7, "q": "a bé"}


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9", "a\tb"])
async def test_a_bad_idempotency_key_is_422(port: int, key: str) -> None:
    reply = await ask(
        port, "POST", "/api/client/keyed", bearer=READER, headers={"idempotency-key": key, "content-length": "0"}
    )
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_a_good_idempotency_key_reaches_the_action(port: int) -> None:
    reply = await ask(port, "POST", "/api/client/keyed", bearer=READER, headers={"idempotency-key": "k" * 255})
    assert reply.json["key"] == "k" * 255


@pytest.mark.parametrize("given", ["a", "A-b.c_9", "x" * 64])
async def test_a_sane_request_id_is_kept(port: int, given: str) -> None:
    assert (await ask(port, "GET", "/nothing", headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["x" * 65, "a b", "<script>", "é", "", "a,b"])
async def test_another_request_id_is_replaced(port: int, given: str) -> None:
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
async def test_each_way_to_fail_has_its_answer(port: int, how: str, status: int, code: str, *, retryable: bool) -> None:
    reply = await ask(port, "GET", f"/fail/{how}")
    assert (reply.status, reply.code, reply.json["retryable"]) == (status, code, retryable)
    assert ("retry-after" in reply.headers) == (status == 503)
    assert int(reply.headers.get("retry-after", "1")) >= 1
    assert b"inside" not in reply.body


async def test_no_content_has_neither_body_nor_length(port: int) -> None:
    reply = await ask(port, "GET", "/fail/nothing")
    assert reply.status == 204
    assert not {"content-length", "content-type", "transfer-encoding"} & reply.headers.keys()


async def test_beyond_its_rate_an_address_is_429_and_told_when_to_return(port: int) -> None:
    replies = [await ask(port, "POST", "/limited") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].code == "rate_limited"
    assert replies[2].json["retryable"]
    assert 2 <= int(replies[2].headers["retry-after"]) <= 3
    assert replies[2].headers["ratelimit-policy"] == '"a";q=2;w=4'
    assert replies[2].headers["ratelimit"] == '"a";r=0;t=2'


async def test_foreign_and_missing_differ_by_the_request_id_alone(port: int) -> None:
    one, other = [await ask(port, "GET", path, headers={"x-request-id": "same"}) for path in ("/missing", "/else")]
    assert one.body == other.body


async def test_one_connection_serves_one_request_after_the_other(port: int) -> None:
    async with wire(port) as line:
        await line.send(
            request("POST", "/open", BASKET) + request("GET", "/nothing") + request("POST", "/open", b"broken")
        )
        assert [(await line.reply()).status for _ in range(3)] == [200, 404, 400]


def test_a_route_that_stands_twice_is_refused_at_the_start(stage: Stage) -> None:
    table = routes(stage)
    with pytest.raises(ValueError, match="stands twice"):
        App([*table, table[0]], guard())


def test_an_open_route_behind_the_guard_is_refused_at_the_start(stage: Stage) -> None:
    with pytest.raises(ValueError, match="guard says otherwise"):
        App([Route("GET", "/api/client/leak", stage.basket, auth=False)], guard())


def test_a_closed_route_without_a_guard_is_refused_at_the_start(stage: Stage) -> None:
    with pytest.raises(ValueError, match="guard says otherwise"):
        App([Route("GET", "/closed", stage.basket)])


def test_the_guard_knows_its_prefixes_from_names_that_begin_alike() -> None:
    gate = Guard(lambda _: None, ("/api/client",), frozenset({"/api/client/login"}))  # type: ignore[arg-type, return-value]
    assert [
        gate.covers(path) for path in ("/api/client", "/api/client/x", "/api/clients", "/api/client/login", "/")
    ] == [
        True,
        True,
        False,
        False,
        False,
    ]
