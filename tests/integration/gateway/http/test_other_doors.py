"""The rest of both listeners: accounts as a device lives through them, the document, probes and what operators read."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import bcrypt
import grpc
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from autogrocery.gateway.app import internal_table, public_table
from autogrocery.gateway.routes.limits import limits_of
from autogrocery.gateway.settings import Rates
from autogrocery.kit.process.clock import uuid7
from tests.harness.running_gateway import Device, Shop, picked

if TYPE_CHECKING:
    from tests.harness.running_gateway import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse battery"
LIMITS = limits_of(Rates())


async def login(shop: Shop, name: str, password: str = PASSWORD) -> Reply:
    return await shop.ask("POST", "/api/client/login", {"device_id": name, "password": password})


async def test_an_account_lives_through_all_its_doors(shop: Shop) -> None:
    name, new = f"kiosk-{uuid7()}", "another battery horse"
    made = await shop.ask(
        "POST", "/api/client/register", {"device_id": name, "password": PASSWORD, "email": "a@example.org"}
    )
    assert made.status == 201
    tokens = (await login(shop, name)).json
    assert tokens.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    tokens = (await shop.ask("POST", "/api/client/refresh", token=tokens["refresh_token"])).json
    device = Device(shop, made.json["user_id"], name, tokens["access_token"])
    assert (await device.get("/api/client/me")).json["email"] == "a@example.org"
    assert (await device.preview()).status == 201
    changed = await device.post("/api/client/password", {"password": PASSWORD, "new_password": new})
    assert (changed.status, changed.body) == (204, b"")
    assert (await shop.ask("POST", "/api/client/refresh", token=tokens["refresh_token"])).code == "invalid_token"
    assert [(await login(shop, name, word)).status for word in (PASSWORD, new)] == [401, 200]


async def test_whoever_may_not_enter_hears_the_same_words(shop: Shop) -> None:
    name = f"kiosk-{uuid7()}"
    await shop.ask("POST", "/api/client/register", {"device_id": name, "password": PASSWORD})
    tried = [
        (name, "wrong horse battery"),
        ("nobody", PASSWORD),
        (name, PASSWORD + "\0"),
        (name + "\0", PASSWORD),
        (name, "x" * 1_024),
    ]
    same = {"x-request-id": "same"}
    replies = [
        await shop.ask("POST", "/api/client/login", {"device_id": one, "password": word}, headers=same)
        for one, word in tried
    ]
    assert {(reply.status, reply.code) for reply in replies} == {(401, "invalid_credentials")}
    assert len({reply.body for reply in replies}) == 1


async def test_a_row_made_by_sql_logs_in_and_orders(shop: Shop) -> None:
    name = f"sql-{uuid7()}"
    foreign = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4, b"2a")).decode()
    await shop.db.run("INSERT INTO smart_devices (device_id, password) VALUES ($1, $2)", name, foreign)
    reply = await login(shop, name, "x" * 100)
    assert reply.status == 200
    device = Device(shop, 0, name, reply.json["access_token"])
    assert (await device.preview()).status == 201


async def test_a_device_finds_no_door_inside(shop: Shop) -> None:
    name = f"kiosk-{uuid7()}"
    await shop.ask("POST", "/api/client/register", {"device_id": name, "password": PASSWORD})
    reply = await shop.ask("POST", "/internal/login", {"device_id": name, "password": PASSWORD}, inside=True)
    assert (reply.status, reply.code) == (401, "invalid_credentials")


async def test_the_served_document_is_valid_and_has_every_route(shop: Shop) -> None:
    served = (await shop.ask("GET", "/openapi.json")).json
    assert served["openapi"].startswith("3.1")
    assert not list(OpenAPIV31SpecValidator(served).iter_errors())
    accounts: object = object()
    rows = {(row.method.lower(), row.path) for row in public_table(None, accounts, LIMITS)}  # type: ignore[arg-type]
    assert {(method, path) for path, methods in served["paths"].items() for method in methods} == rows


async def test_the_docs_fetch_nothing_and_explain_every_code(shop: Shop) -> None:
    page = (await shop.ask("GET", "/docs")).body.decode()
    assert not re.findall(r"<(?:script|link|img|iframe|object|embed)\b|@import|url\(|\bhttps?://", page)
    problem = (await shop.ask("GET", "/api/client/me")).json
    assert f'id="{problem["type"].removeprefix("/docs#")}"' in page


async def test_both_listeners_say_that_they_live(shop: Shop) -> None:
    for inside in (False, True):
        assert (await shop.ask("GET", "/healthz", inside=inside)).json == {"status": "ok"}
        ready = await shop.ask("GET", "/readyz", inside=inside)
        assert (ready.status, ready.json["status"]) == (200, "ok")


async def test_a_peer_that_is_away_does_not_make_the_gateway_unready(device: Device) -> None:
    device.shop.shelf.trouble = {"ReserveItems": grpc.StatusCode.UNAVAILABLE}
    assert (await device.preview()).status == 503
    assert (await device.shop.ask("GET", "/readyz")).status == 200


async def test_operators_read_status_metrics_audit_and_the_metrics_log(device: Device) -> None:
    shop, order_id = device.shop, await device.processing()
    await shop.deliver(picked(order_id))
    status = (await shop.ask("GET", "/status", inside=True)).json
    assert status["store_id"] == "mart-1"
    assert (await shop.ask("GET", "/internal/audit", inside=True)).json["clean"] is True
    metrics = await shop.ask("GET", "/metrics", inside=True)
    assert metrics.media == "text/plain"
    assert b"# HELP" in metrics.body
    (epoch,) = (await shop.ask("GET", "/internal/metrics-log", inside=True)).json["epochs"]
    told = (await shop.ask("GET", f"/internal/metrics-log?epoch={epoch['epoch']}&after=0", inside=True)).json
    mine = [(metric["status"], metric["version"]) for metric in told["metrics"] if metric["order_id"] == order_id]
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
async def test_a_bad_metrics_log_query_is_422(shop: Shop, query: str) -> None:
    reply = await shop.ask("GET", f"/internal/metrics-log?{query}", inside=True)
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_nothing_public_is_on_the_internal_listener(device: Device) -> None:
    for path in ("/api/client/me", "/api/client/login", "/openapi.json", "/docs"):
        reply = await device.shop.ask("GET", path, token=device.token, inside=True)
        assert (reply.status, reply.code) == (404, "not_found"), path


async def test_below_internal_ops_an_operators_token_is_asked_for_before_anything_is_said(device: Device) -> None:
    shop, path = device.shop, "/internal/ops/nothing"
    for token in (None, device.token, shop.token(1, "robot", audience="inventory")):
        reply = await shop.ask("GET", path, token=token, inside=True)
        assert (reply.status, reply.code) == (401, "invalid_token")
    operator = shop.token(1, "op-1", audience="ops", scopes=["ops:read"])
    assert (await shop.ask("GET", path, token=operator, inside=True)).status == 404


async def test_every_internal_route_answers_a_stranger_with_less_than_500(shop: Shop) -> None:
    for row in internal_table(None, object(), None, LIMITS):  # type: ignore[arg-type]
        for raw in (None, b"", b"{}", b"\xff"):
            reply = await shop.ask(row.method, row.path, raw=raw, inside=True)
            assert reply.status < 500, (row.path, raw, reply)


async def test_answers_say_how_they_may_be_kept_and_read(device: Device) -> None:
    for path in ("/api/client/me", "/openapi.json", "/docs", "/nothing"):
        headers = (await device.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


async def test_a_hundred_previews_at_once_are_all_served_if_those_turned_away_come_again(shop: Shop) -> None:
    async def served(device: Device) -> int:
        while (reply := await device.preview()).status == 503:
            assert reply.code == "overloaded"
            await asyncio.sleep(int(reply.headers["retry-after"]))
        return reply.status

    devices = [await shop.device() for _ in range(20)]
    async with asyncio.timeout(60):
        assert set(await asyncio.gather(*(served(one) for one in devices for _ in range(5)))) == {201}
