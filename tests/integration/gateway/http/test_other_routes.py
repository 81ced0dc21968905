"""Other routes of both listeners: accounts, openapi.json, health probes, and what operators read."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import bcrypt
import grpc
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from autogrocery.gateway.app import internal_routes, public_routes
from autogrocery.gateway.routes.limits import make_rate_limits
from autogrocery.gateway.settings import RateSettings
from autogrocery.kit.ids import uuid7
from tests.harness.running_gateway import Device, RunningGateway, webhook_body

if TYPE_CHECKING:
    from tests.harness.running_gateway import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse battery"
LIMITS = make_rate_limits(RateSettings())


async def login(gateway: RunningGateway, name: str, password: str = PASSWORD) -> Reply:
    return await gateway.request("POST", "/api/client/login", {"device_id": name, "password": password})


async def test_an_account_registers_logs_in_refreshes_and_changes_its_password(gateway: RunningGateway) -> None:
    name, new = f"kiosk-{uuid7()}", "another battery horse"
    made = await gateway.request(
        "POST", "/api/client/register", {"device_id": name, "password": PASSWORD, "email": "a@example.org"}
    )
    assert made.status == 201
    tokens = (await login(gateway, name)).json
    assert tokens.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    tokens = (await gateway.request("POST", "/api/client/refresh", token=tokens["refresh_token"])).json
    device = Device(gateway, made.json["user_id"], name, tokens["access_token"])
    assert (await device.get("/api/client/me")).json["email"] == "a@example.org"
    assert (await device.preview()).status == 201
    changed = await device.post("/api/client/password", {"password": PASSWORD, "new_password": new})
    assert (changed.status, changed.body) == (204, b"")
    assert (await gateway.request("POST", "/api/client/refresh", token=tokens["refresh_token"])).code == "invalid_token"
    assert [(await login(gateway, name, word)).status for word in (PASSWORD, new)] == [401, 200]


async def test_every_failed_login_returns_the_same_bytes(gateway: RunningGateway) -> None:
    name = f"kiosk-{uuid7()}"
    await gateway.request("POST", "/api/client/register", {"device_id": name, "password": PASSWORD})
    tried = [
        (name, "wrong horse battery"),
        ("unknown", PASSWORD),
        (name, PASSWORD + "\0"),
        (name + "\0", PASSWORD),
        (name, "x" * 1_024),
    ]
    same = {"x-request-id": "same"}
    replies = [
        await gateway.request("POST", "/api/client/login", {"device_id": one, "password": word}, headers=same)
        for one, word in tried
    ]
    assert {(reply.status, reply.code) for reply in replies} == {(401, "invalid_credentials")}
    assert len({reply.body for reply in replies}) == 1


async def test_a_device_inserted_by_sql_can_log_in_and_order(gateway: RunningGateway) -> None:
    name = f"sql-{uuid7()}"
    foreign = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4, b"2a")).decode()
    await gateway.db.run("INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)", name, foreign)
    reply = await login(gateway, name, "x" * 100)
    assert reply.status == 200
    device = Device(gateway, 0, name, reply.json["access_token"])
    assert (await device.preview()).status == 201


async def test_a_device_cannot_log_in_at_the_internal_listener(gateway: RunningGateway) -> None:
    name = f"kiosk-{uuid7()}"
    await gateway.request("POST", "/api/client/register", {"device_id": name, "password": PASSWORD})
    reply = await gateway.request("POST", "/internal/login", {"device_id": name, "password": PASSWORD}, inside=True)
    assert (reply.status, reply.code) == (401, "invalid_credentials")


async def test_openapi_json_is_valid_and_has_every_route(gateway: RunningGateway) -> None:
    served = (await gateway.request("GET", "/openapi.json")).json
    assert served["openapi"].startswith("3.1")
    assert not list(OpenAPIV31SpecValidator(served).iter_errors())
    accounts: object = object()
    rows = {(row.method.lower(), row.path) for row in public_routes(None, accounts, LIMITS)}  # type: ignore[arg-type]
    assert {(method, path) for path, methods in served["paths"].items() for method in methods} == rows


async def test_the_docs_page_loads_nothing_and_has_an_anchor_for_a_problem_type(gateway: RunningGateway) -> None:
    page = (await gateway.request("GET", "/docs")).body.decode()
    assert not re.findall(r"<(?:script|link|img|iframe|object|embed)\b|@import|url\(|\bhttps?://", page)
    problem = (await gateway.request("GET", "/api/client/me")).json
    assert f'id="{problem["type"].removeprefix("/docs#")}"' in page


async def test_both_listeners_answer_healthz_and_readyz(gateway: RunningGateway) -> None:
    for inside in (False, True):
        assert (await gateway.request("GET", "/healthz", inside=inside)).json == {"status": "ok"}
        ready = await gateway.request("GET", "/readyz", inside=inside)
        assert (ready.status, ready.json["status"]) == (200, "ok")


async def test_an_unavailable_peer_does_not_make_the_gateway_unready(device: Device) -> None:
    device.gateway.fake_inventory.abort_with = {"ReserveItems": grpc.StatusCode.UNAVAILABLE}
    assert (await device.preview()).status == 503
    assert (await device.gateway.request("GET", "/readyz")).status == 200


async def test_operators_read_status_metrics_audit_and_the_metrics_log(device: Device) -> None:
    gateway, order_id = device.gateway, await device.processing()
    await gateway.send_webhook(webhook_body(order_id))
    status = (await gateway.request("GET", "/status", inside=True)).json
    assert status["store_id"] == "mart-1"
    assert (await gateway.request("GET", "/internal/audit", inside=True)).json["clean"] is True
    metrics = await gateway.request("GET", "/metrics", inside=True)
    assert metrics.media == "text/plain"
    assert b"# HELP" in metrics.body
    (epoch,) = (await gateway.request("GET", "/internal/metrics-log", inside=True)).json["epochs"]
    log = (await gateway.request("GET", f"/internal/metrics-log?epoch={epoch['epoch']}&after=0", inside=True)).json
    mine = [(metric["status"], metric["version"]) for metric in log["metrics"] if metric["order_id"] == order_id]
    assert mine == [("PREVIEWED", 1), ("PROCESSING", 2), ("COMPLETED", 3)]


@pytest.mark.parametrize(
    "query",
    [
        "epoch=x",
        "epoch=-1",
        "epoch=1&after=-1",
        f"epoch={1 << 64}",
        f"epoch={1 << 63}&after=0",
        f"epoch=1&after={1 << 63}",
        "after=x",
    ],
)
async def test_an_invalid_metrics_log_query_returns_422(gateway: RunningGateway, query: str) -> None:
    reply = await gateway.request("GET", f"/internal/metrics-log?{query}", inside=True)
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_shortfalls_name_the_lines_that_were_picked_short(device: Device) -> None:
    gateway, order_id = device.gateway, await device.processing()
    body = {**webhook_body(order_id), "items": [{"sku": "milk", "picked": 1}]}
    await gateway.send_webhook(body)
    reply = await gateway.request("POST", "/internal/shortfalls", {"order_ids": [order_id]}, inside=True)
    assert reply.status == 200, reply.body
    assert {line["sku"]: (line["granted"], line["picked"]) for line in reply.json["short_lines"]} == {"milk": (2, 1)}
    for wrong in ({"order_ids": []}, {"order_ids": ["x"]}, {"order_ids": [order_id] * 201}, {}):
        refused = await gateway.request("POST", "/internal/shortfalls", wrong, inside=True)
        assert (refused.status, refused.code) == (422, "invalid_request")


async def test_public_paths_return_404_on_the_internal_listener(device: Device) -> None:
    for path in ("/api/client/me", "/api/client/login", "/openapi.json", "/docs"):
        reply = await device.gateway.request("GET", path, token=device.token, inside=True)
        assert (reply.status, reply.code) == (404, "not_found"), path


async def test_below_internal_ops_401_comes_before_404(device: Device) -> None:
    gateway, path = device.gateway, "/internal/ops/nothing"
    for token in (None, device.token, gateway.token(1, "robot", audience="inventory")):
        reply = await gateway.request("GET", path, token=token, inside=True)
        assert (reply.status, reply.code) == (401, "invalid_token")
    operator = gateway.token(1, "op-1", audience="ops", scopes=["ops:read"])
    assert (await gateway.request("GET", path, token=operator, inside=True)).status == 404


async def test_no_internal_route_returns_500_without_a_token(gateway: RunningGateway) -> None:
    for row in internal_routes(None, object(), None, LIMITS):  # type: ignore[arg-type]
        for raw in (None, b"", b"{}", b"\xff"):
            reply = await gateway.request(row.method, row.path, raw=raw, inside=True)
            assert reply.status < 500, (row.path, raw, reply)


async def test_responses_have_cache_and_content_type_headers_and_no_server_header(device: Device) -> None:
    for path in ("/api/client/me", "/openapi.json", "/docs", "/nothing"):
        headers = (await device.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


async def test_100_concurrent_previews_are_all_served_when_overloaded_ones_retry(
    gateway: RunningGateway,
) -> None:
    async def served(device: Device) -> int:
        while (reply := await device.preview()).status == 503:
            assert reply.code == "overloaded"
            await asyncio.sleep(int(reply.headers["retry-after"]))
        return reply.status

    devices = [await gateway.device() for _ in range(20)]
    async with asyncio.timeout(60):
        assert set(await asyncio.gather(*(served(one) for one in devices for _ in range(5)))) == {201}
