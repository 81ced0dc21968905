"""Requests that the gateway refuses before any action: by token, path, size, rate or media type."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.gateway.app import NO_TOKEN_PATHS
from autogrocery.kit.security import tokens
from tests.harness.running_gateway import CONFIRM, OPENAPI, PREVIEW, ROBOT_KEY, SCOPES, Device, RunningGateway

if TYPE_CHECKING:
    from tests.harness.running_gateway import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOGIN, ME = "/api/client/login", "/api/client/me"
BASKET = b'{"items":[{"sku":"milk","quantity":1}]}'
ROUTES = [(method.upper(), path) for path, methods in OPENAPI.document["paths"].items() for method in methods]
WITH_TOKEN = [(method, path) for method, path in ROUTES if path.startswith("/api/") and path not in NO_TOKEN_PATHS]
SCOPED = [
    (method, path, operation["security"][0]["bearer"][0])
    for path, methods in OPENAPI.document["paths"].items()
    for method, operation in methods.items()
    if operation.get("security", [{}])[0].get("bearer")
]


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "018f0000-0000-7000-8000-000000000000", path)


async def test_all_client_routes_but_register_login_and_refresh_need_a_token() -> None:
    below = {path for _, path in ROUTES if path.startswith("/api/client")}
    assert below - {path for _, path in WITH_TOKEN} == {
        f"/api/client/{verb}" for verb in ("register", "login", "refresh")
    }
    assert len(WITH_TOKEN) >= 10


@pytest.mark.parametrize(("method", "path"), WITH_TOKEN)
async def test_a_route_that_needs_a_token_returns_401_without_one(
    gateway: RunningGateway, method: str, path: str
) -> None:
    reply = await gateway.request(method, filled(path), raw=BASKET if method == "POST" else None)
    assert (reply.status, reply.code, reply.headers["www-authenticate"]) == (401, "invalid_token", "Bearer")


@pytest.mark.parametrize(
    "path",
    [
        "/api/client",
        "/api/client/",
        "/api/client/nothing",
        "/api/client/order/preview/",
        "/api/client/login/",
        "/api/client/register/x",
        "/api/truck",
        "/api/truck/restock",
        "/api%2Fclient%2Fme",
        "/api/client//login",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
async def test_below_the_prefixes_401_comes_before_404_and_405(gateway: RunningGateway, method: str, path: str) -> None:
    reply = await gateway.request(method, path)
    assert (reply.status, reply.code) == (401, "invalid_token")


async def test_an_unknown_path_with_a_token_returns_404(device: Device) -> None:
    for path in ("/api/client", "/api/client/nothing", "/api/client/me/", "/api/client/orders/x/y"):
        reply = await device.get(path)
        assert (reply.status, reply.code) == (404, "not_found"), path


@pytest.mark.parametrize(
    "path",
    [
        "/internal/webhook/update-order",
        "/internal/login",
        "/internal/audit",
        "/internal/metrics-log",
        "/internal/shortfalls",
        "/metrics",
        "/status",
        "/internal",
        "/admin",
        "/",
    ],
)
async def test_internal_paths_return_404_on_the_public_listener(device: Device, path: str) -> None:
    for method in ("GET", "POST"):
        reply = await device.gateway.request(method, path, token=device.token)
        assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
async def test_a_route_without_its_scope_returns_403(
    gateway: RunningGateway, method: str, path: str, scope: str
) -> None:
    device = await gateway.device(scopes=[other for other in (*SCOPES, "ops:read", "ops:write") if other != scope])
    reply = await gateway.request(
        method.upper(), filled(path), token=device.token, raw=BASKET if method == "post" else None
    )
    assert (reply.status, reply.code) == (403, "insufficient_scope")
    assert reply.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


HOSTILE: dict[str, dict[str, Any]] = {
    "expired": {"at": time.time() - 2_000},
    "not yet": {"at": time.time() + 86_400},
    "another issuer": {"issuer": "grocery"},
    "an operator's": {"audience": "ops"},
    "a robot's": {"audience": "inventory"},
    "no lifetime": {"ttl_s": 0},
    "user 0": {"user_id": 0},
    "no such user id": {"user_id": 1 << 40},
    "device id of two words": {"device_id": "a b"},
}


@pytest.mark.parametrize("claims", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_signed_token_with_wrong_claims_returns_401(gateway: RunningGateway, claims: dict[str, Any]) -> None:
    named: dict[str, Any] = {"user_id": 1, "device_id": "fridge"} | claims
    token = gateway.token(named.pop("user_id"), named.pop("device_id"), **named)
    reply = await gateway.request("GET", ME, token=token)
    assert (reply.status, reply.code) == (401, "invalid_token")
    assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_token_signed_with_the_robots_secret_returns_401(gateway: RunningGateway) -> None:
    token = tokens.issue(
        ROBOT_KEY.encode(), issuer="autogrocery", audience="ordering", user_id=1, principal="r", scopes=SCOPES, ttl_s=60
    )
    assert (await gateway.request("GET", ME, token=token)).code == "invalid_token"


async def test_a_token_changed_in_any_part_returns_401(device: Device) -> None:
    head, claims, signature = device.token.split(".")
    for token in (
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{head}..{signature}",
        f"{head}.{claims[:-2]}.{signature}",
        f"{head}.{claims}.{signature[::-1]}",
        f"eyJhbGciOiJub25lIn0.{claims}.",
        device.token + "=",
        device.token * 20,
    ):
        assert (await device.gateway.request("GET", ME, token=token)).code == "invalid_token"


async def test_a_token_of_a_missing_account_returns_401(gateway: RunningGateway) -> None:
    reply = await gateway.request("GET", ME, token=gateway.token(2_000_000_000, "ghost"))
    assert (reply.status, reply.code) == (401, "invalid_token")


NO_JSON = {
    "empty": b"",
    "words": b"milk",
    "cut": BASKET[:-1],
    "more": BASKET + b"x",
    "NaN": BASKET.replace(b"1", b"NaN"),
    "Infinity": BASKET.replace(b"1", b"-Infinity"),
    "deep": b"[" * 60_000,
    "deep objects": b'{"items":' * 7_000,
    "BOM": b"\xef\xbb\xbf" + BASKET,
    "UTF-16": BASKET.decode().encode("utf-16"),
    "bad UTF-8": BASKET.replace(b"milk", b"\xff\xfe"),
    "lone surrogate": BASKET.replace(b"milk", b"\\ud800"),
    "overlong": BASKET.replace(b"milk", b"\xc0\x80"),
    "raw NUL": BASKET.replace(b"milk", b"\0"),
    "a key twice": b'{"items":[],"items":[]}',
    "a comment": BASKET + b"//",
    "1e999": BASKET.replace(b"1", b"1e999"),
    "single quotes": BASKET.replace(b'"', b"'"),
    "two": BASKET + BASKET,
}


@pytest.mark.parametrize("raw", NO_JSON.values(), ids=NO_JSON.keys())
async def test_a_body_that_is_no_json_returns_400_on_every_route(device: Device, raw: bytes) -> None:
    for path in (PREVIEW, CONFIRM, "/api/client/password", LOGIN, "/api/client/register"):
        reply = await device.post(path, raw=raw)
        assert (reply.status, reply.code) == (400, "invalid_json"), path


async def test_a_number_of_60000_digits_returns_4xx(device: Device) -> None:
    reply = await device.post(PREVIEW, raw=BASKET.replace(b"1", b"1" * 60_000))
    assert (reply.status, reply.code) in {(400, "invalid_json"), (422, "invalid_request")}


@pytest.mark.parametrize(
    "raw", [BASKET.replace(b"milk", b"\\u0000"), b'{"items":[{"sku":"a","quantity":1}],"\\u0000":1}']
)
async def test_u0000_returns_422_and_never_reaches_the_database(device: Device, raw: bytes) -> None:
    reply = await device.post(PREVIEW, raw=raw)
    assert (reply.status, reply.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "multipart/form-data"],
)
async def test_another_media_type_returns_415(device: Device, kind: str) -> None:
    reply = await device.post(PREVIEW, raw=BASKET, headers={"content-type": kind})
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_an_encoded_body_returns_415(device: Device) -> None:
    reply = await device.post(PREVIEW, raw=BASKET, headers={"content-encoding": "gzip"})
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_a_body_of_64_kib_is_read_and_a_larger_one_returns_413(device: Device) -> None:
    limit = 64 << 10
    assert (await device.post(PREVIEW, raw=BASKET + b" " * (limit - len(BASKET)))).status == 201
    reply = await device.post(PREVIEW, raw=BASKET + b" " * (limit + 1 - len(BASKET)))
    assert (reply.status, reply.code) == (413, "payload_too_large")


async def test_a_long_uri_returns_414(device: Device) -> None:
    reply = await device.get("/api/client/catalog?q=" + "x" * 3_000)
    assert (reply.status, reply.code) == (414, "uri_too_long")


@pytest.mark.parametrize(
    "headers", [{"x-long": "x" * 15_000, "x-longer": "x" * 5_000}, {f"x-{n}": "1" for n in range(80)}]
)
async def test_too_large_headers_return_431(device: Device, headers: dict[str, str]) -> None:
    reply = await device.get(ME, headers=headers)
    assert (reply.status, reply.code) == (431, "headers_too_large")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PREVIEW, "POST"),
        ("PUT", CONFIRM, "POST"),
        ("POST", "/api/client/orders", "GET, HEAD"),
        ("DELETE", "/api/client/orders/last", "GET, HEAD"),
        ("GET", LOGIN, "POST"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("PUT", ME, "GET, HEAD, PATCH"),
        ("TRACE", "/healthz", "GET, HEAD"),
    ],
)
async def test_another_method_returns_405_with_the_allowed_ones(
    device: Device, method: str, path: str, allowed: str
) -> None:
    reply = await device.gateway.request(method, path, token=device.token)
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", allowed)


async def test_a_device_beyond_its_rate_gets_429_and_others_do_not(device: Device) -> None:
    last: Reply | None = None
    for _ in range(120):
        last = await device.get("/api/client/orders/last")
        if last.status == 429:
            break
    assert last is not None
    assert (last.status, last.code, last.json["retryable"]) == (429, "rate_limited", True)
    assert (await (await device.gateway.device()).get("/api/client/orders/last")).status == 404


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "GET"])
async def test_head_returns_the_headers_of_get_without_a_body(device: Device, path: str) -> None:
    got, head = [await device.gateway.request(method, filled(path), token=device.token) for method in ("GET", "HEAD")]
    assert head.status == got.status
    assert head.body == b""
    assert head.headers.get("content-length") == got.headers.get("content-length")


async def test_a_valid_request_id_is_returned_and_an_invalid_one_replaced(device: Device) -> None:
    assert (await device.get(ME, headers={"x-request-id": "kiosk-7.42"})).headers["x-request-id"] == "kiosk-7.42"
    assert (await device.get(ME, headers={"x-request-id": "a b"})).headers["x-request-id"] != "a b"
