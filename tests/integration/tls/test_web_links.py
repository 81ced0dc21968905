"""Who gets through to the internal listener, and whom inventory, robots and analytics talk to, on real connections."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from autogrocery.analytics.peers.log import open_log
from autogrocery.contracts import identities, registry
from autogrocery.gateway.routes.internal import webhook_routes
from autogrocery.inventory.peers.gateway import WEBHOOKS, open_gateway
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.http.app import App
from autogrocery.kit.http.route import Request, Route
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.security.tls import toward
from autogrocery.kit.security.webhooks import WebhookVerifier
from autogrocery.lab.network import pki
from autogrocery.robots.core.robot import Account
from autogrocery.robots.peers.gateway import open_gateway as open_robots_gateway
from tests.harness.tls_ends import certificate_at, identity, intruder, old_fashioned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from autogrocery.kit.security.tls import Identity

SECRET = b"s" * 32
PATH = f"{WEBHOOKS}update-order"
NOTHING: Any = None  # the gateway behind its doors: a webhook that gets that far is refused for its body, with 422
TOKENS = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 60}
PATIENCE = aiohttp.ClientTimeout(total=10)


async def log_in(_request: Request) -> dict[str, Any]:
    return TOKENS


async def metrics_log(_request: Request) -> dict[str, Any]:
    return {"epochs": []}


async def nobody_disabled(_request: Request) -> registry.Disabled:
    return registry.Disabled(())


async def tell_names(request: Request) -> dict[str, Any]:
    return {"names": None if request.peer_names is None else sorted(request.peer_names)}


@asynccontextmanager
async def listening(shown: Identity | None) -> AsyncIterator[int]:
    """An internal listener with the gateway's door for webhooks, and doors that let everybody in."""
    app = App(
        [
            *webhook_routes(NOTHING, WebhookVerifier((SECRET,))),
            Route("POST", "/internal/login", log_in, auth=False, check=lambda _: None),
            Route("GET", "/internal/metrics-log", metrics_log, auth=False, query=dict[str, str]),
            Route("GET", registry.PATH, nobody_disabled, auth=False),
            Route("GET", "/names", tell_names, auth=False),
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
    async with open_log(url, shown) as log:
        await log.epochs()


CLIENTS = {
    "webhook": ("inventory", send_webhook),
    "disabled": ("inventory", list_disabled),
    "login": ("robots", log_robot_in),
    "log": ("analytics", read_log),
}


async def outcome(name: str, url: str, shown: Identity | None) -> str:
    """What became of a client's call: through, 403 and the like for webhooks, or no answer."""
    try:
        await CLIENTS[name][1](url, shown)
    except InDoubt:
        return "no answer"
    except Unavailable as refusal:
        return "no answer" if refusal.code in {"gateway_unavailable", "log_unavailable"} else refusal.code
    return "through"


THROUGH = {"webhook": "gateway_said_422", "disabled": "through", "login": "through", "log": "through"}


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_with_its_certificate_gets_through(keys: Path, name: str) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await outcome(name, f"https://127.0.0.1:{port}", identity(keys, CLIENTS[name][0])) == THROUGH[name]


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_talks_to_the_gateway_and_to_nobody_else(keys: Path, strangers: Path, name: str) -> None:
    ours = identity(keys, CLIENTS[name][0])
    for imposter in (identity(strangers, "gateway"), identity(keys, "pricing"), identity(keys, "inventory"), None):
        async with listening(imposter) as port:
            assert await outcome(name, f"https://127.0.0.1:{port}", ours) == "no answer"


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_without_tls_gets_no_answer(keys: Path, name: str) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await outcome(name, f"http://127.0.0.1:{port}", None) == "no answer"


@pytest.mark.parametrize("name", ["inventory", "robots", "analytics"])
async def test_a_certificate_of_another_ca_or_none_gets_no_answer(keys: Path, strangers: Path, name: str) -> None:
    bare = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    async with listening(identity(keys, "gateway")) as port, aiohttp.ClientSession(timeout=PATIENCE) as session:
        for context in (bare, intruder(keys, strangers, name)):
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"https://127.0.0.1:{port}/names", ssl=context, server_hostname=identities.GATEWAY)


async def test_webhooks_are_inventorys_however_well_others_sign(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        for name, leaf in pki.LEAVES.items():
            if leaf.calls and name != "inventory":
                told = await _webhook_as(identity(keys, name), f"https://127.0.0.1:{port}")
                assert told == "gateway_said_403", name


async def _webhook_as(shown: Identity, url: str) -> str:
    try:
        await send_webhook(url, shown)
    except Unavailable as refusal:
        return refusal.code
    return "through"


async def test_inventorys_certificate_does_not_stand_for_its_signature(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await asked("POST", port, PATH, identity(keys, "inventory")) == (401, "invalid_signature")


async def test_a_wrong_certificate_is_told_as_a_problem(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await asked("POST", port, PATH, identity(keys, "operator")) == (403, "wrong_certificate")


async def test_a_route_knows_the_names_of_its_client(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        assert await asked("GET", port, "/names", identity(keys, "operator")) == (200, [identities.OPERATOR])
    async with listening(None) as port:
        assert await asked("GET", port, "/names", None) == (200, None)


async def asked(method: str, port: int, path: str, shown: Identity | None) -> tuple[int, Any]:
    """Ask as somebody; status, and the problem's code or the names."""
    url = f"{'https' if shown else 'http'}://127.0.0.1:{port}{path}"
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.request(
            method, url, json={} if method == "POST" else None, **toward(identities.GATEWAY, shown)
        ) as answer,
    ):
        told = await answer.json(content_type=None)
        return answer.status, told.get("code", told.get("names"))


async def test_tls_before_1_2_is_refused(keys: Path) -> None:
    async with listening(identity(keys, "gateway")) as port:
        await certificate_at(port, identity(keys, "operator"))
        with pytest.raises(OSError, match=r"EOF|PROTOCOL_VERSION"):
            await certificate_at(port, old_fashioned(identity(keys, "operator")))


async def test_the_old_fashioned_client_is_understood_by_an_old_fashioned_server(keys: Path) -> None:
    context = old_fashioned(identity(keys, "gateway"), ssl.PROTOCOL_TLS_SERVER)
    async with await asyncio.start_server(lambda _, writer: writer.write(b"!"), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        assert await certificate_at(port, old_fashioned(identity(keys, "operator")))


async def test_a_client_that_leaves_before_its_answer_is_no_warning(
    keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
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
