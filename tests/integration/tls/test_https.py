"""Mutual TLS of the internal listener and its clients inventory, robots and analytics, on real connections."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from autogrocery.analytics.peers.metrics_log import open_metrics_logs
from autogrocery.contracts import identities, registry
from autogrocery.gateway.routes.internal import webhook_routes
from autogrocery.inventory.peers.gateway import WEBHOOK_PATH, open_gateway
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.http.app import App
from autogrocery.kit.http.route import Request, Route
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.security.tls import tls_arguments
from autogrocery.kit.security.webhooks import WebhookVerifier
from autogrocery.lab.network import pki
from autogrocery.robots.core.robot import Account
from autogrocery.robots.peers.gateway import open_gateway as open_robots_gateway
from tests.harness.tls_endpoints import certificate_at, foreign_client_context, identity, tls_1_1_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from autogrocery.kit.security.tls import Identity

SECRET = b"s" * 32
PATH = f"{WEBHOOK_PATH}update-order"
NOTHING: Any = None  # the gateway behind the routes: a webhook that is authorized returns 422 for its body
TOKENS = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 60}
PATIENCE = aiohttp.ClientTimeout(total=10)


async def log_in(_request: Request) -> dict[str, Any]:
    return TOKENS


async def metrics_log(_request: Request) -> dict[str, Any]:
    return {"epochs": []}


async def no_disabled_accounts(_request: Request) -> registry.Disabled:
    return registry.Disabled(())


async def return_names(request: Request) -> dict[str, Any]:
    return {"names": None if request.peer_names is None else sorted(request.peer_names)}


@asynccontextmanager
async def listening(shown: Identity | None) -> AsyncIterator[int]:
    """Serve an internal listener with the gateway's webhook routes, and routes without authentication."""
    app = App(
        [
            *webhook_routes(NOTHING, WebhookVerifier((SECRET,))),
            Route("POST", "/internal/login", log_in, auth=False, check=lambda _: None),
            Route("GET", "/internal/metrics-log", metrics_log, auth=False, query=dict[str, str]),
            Route("GET", registry.PATH, no_disabled_accounts, auth=False),
            Route("GET", "/names", return_names, auth=False),
        ]
    )
    async with serve_http(app, "127.0.0.1", 0, "ADDR", identity=shown) as port:
        yield port


async def send_webhook(url: str, shown: Identity | None) -> None:
    async with open_gateway(url, SECRET, shown) as gateway:
        await gateway.update_order("msg_1", "{}")


async def list_disabled(url: str, shown: Identity | None) -> None:
    async with open_gateway(url, SECRET, shown) as gateway:
        await gateway.list_disabled()


async def log_robot_in(url: str, shown: Identity | None) -> None:
    async with open_robots_gateway(url, shown) as gateway:
        await gateway.log_in(Account("robot-1", "bread", "password"))


async def read_log(url: str, shown: Identity | None) -> None:
    async with open_metrics_logs([url], shown) as (log,):
        await log.epochs()


CLIENTS = {
    "webhook": ("inventory", send_webhook),
    "disabled": ("inventory", list_disabled),
    "login": ("robots", log_robot_in),
    "log": ("analytics", read_log),
}


async def outcome(name: str, url: str, shown: Identity | None) -> str:
    """Return the outcome of a client's call: `through`, the status of a webhook, or `no answer`."""
    try:
        await CLIENTS[name][1](url, shown)
    except InDoubt:
        return "no answer"
    except Unavailable as refusal:
        return "no answer" if refusal.code in {"gateway_unavailable", "log_unavailable"} else refusal.code
    return "through"


THROUGH = {"webhook": "gateway_returned_422", "disabled": "through", "login": "through", "log": "through"}


@pytest.mark.parametrize("name", CLIENTS)
async def test_client_with_its_certificate_is_answered(keys: Path, name: str) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await outcome(name, f"https://127.0.0.1:{port}", identity(keys, CLIENTS[name][0])) == THROUGH[name]


@pytest.mark.parametrize("name", CLIENTS)
async def test_client_refuses_server_other_than_the_gateway(keys: Path, strangers: Path, name: str) -> None:
    ours = identity(keys, CLIENTS[name][0])
    for imposter in (identity(strangers, "gateway"), identity(keys, "pricing"), identity(keys, "inventory"), None):
        async with listening(imposter) as port:
            assert await outcome(name, f"https://127.0.0.1:{port}", ours) == "no answer"


@pytest.mark.parametrize("name", CLIENTS)
async def test_client_without_tls_gets_no_answer(keys: Path, name: str) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await outcome(name, f"http://127.0.0.1:{port}", None) == "no answer"


@pytest.mark.parametrize("name", ["inventory", "robots", "analytics"])
async def test_client_without_certificate_of_the_ca_gets_no_answer(keys: Path, strangers: Path, name: str) -> None:
    bare = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    async with listening(identity(keys, "gateway")) as port, aiohttp.ClientSession(timeout=PATIENCE) as session:
        for context in (bare, foreign_client_context(keys, strangers, name)):
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"https://127.0.0.1:{port}/names", ssl=context, server_hostname=identities.GATEWAY)


async def test_signed_webhook_with_another_roles_certificate_returns_403(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        for name, leaf in pki.LEAVES.items():
            if leaf.client_auth and name != "inventory":
                code = await _webhook_as(identity(keys, name), f"https://127.0.0.1:{port}")
                assert code == "gateway_returned_403", name


async def _webhook_as(shown: Identity, url: str) -> str:
    try:
        await send_webhook(url, shown)
    except Unavailable as refusal:
        return refusal.code
    return "through"


async def test_unsigned_webhook_with_inventory_certificate_returns_401(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await asked("POST", port, PATH, identity(keys, "inventory")) == (401, "invalid_signature")


async def test_webhook_with_operator_certificate_returns_wrong_certificate(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await asked("POST", port, PATH, identity(keys, "operator")) == (403, "wrong_certificate")


async def test_route_receives_the_names_of_the_client_certificate(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await asked("GET", port, "/names", identity(keys, "operator")) == (200, [identities.OPERATOR])
    async with listening(None) as port:
        assert await asked("GET", port, "/names", None) == (200, None)


async def asked(method: str, port: int, path: str, shown: Identity | None) -> tuple[int, Any]:
    """Send a request with a certificate; return the status, and the problem's code or the names."""
    url = f"{'https' if shown else 'http'}://127.0.0.1:{port}{path}"
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.request(
            method, url, json={} if method == "POST" else None, **tls_arguments(identities.GATEWAY, shown)
        ) as answer,
    ):
        body = await answer.json(content_type=None)
        return answer.status, body.get("code", body.get("names"))


async def test_https_handshake_below_tls_1_2_is_refused(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        await certificate_at(port, identity(keys, "operator"))
        with pytest.raises(OSError, match=r"EOF|PROTOCOL_VERSION"):
            await certificate_at(port, tls_1_1_context(identity(keys, "operator")))


async def test_tls_1_1_client_connects_to_tls_1_1_server(keys: Path) -> None:
    context = tls_1_1_context(identity(keys, "gateway"), ssl.PROTOCOL_TLS_SERVER)
    async with await asyncio.start_server(lambda _, writer: writer.write(b"!"), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        assert await certificate_at(port, tls_1_1_context(identity(keys, "operator")))


async def test_client_that_disconnects_early_logs_no_warning(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    shown, came, go = identity(keys, "operator"), asyncio.Event(), asyncio.Event()

    async def wait(_request: Request) -> None:
        came.set()
        await go.wait()

    app = App([Route("GET", "/wait", wait, auth=False)])
    async with serve_http(app, "127.0.0.1", 0, "ADDR", identity=identity(keys, "gateway")) as port:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=shown.current().client, server_hostname=identities.GATEWAY
        )
        writer.write(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        await came.wait()
        writer.close()
        await writer.wait_closed()
        go.set()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []


async def test_client_that_begins_no_handshake_is_disconnected(keys: Path) -> None:
    async with serve_http(
        App([]), "127.0.0.1", 0, "ADDR", identity=identity(keys, "gateway"), head_deadline_s=0.3
    ) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
