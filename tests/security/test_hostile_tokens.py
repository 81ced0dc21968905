"""Hostile tokens at the real listeners, the gateway's HTTP and inventory's gRPC; and valid tokens at the wrong one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.harness.http_probe import wire
from tests.harness.running_gateway import DEVICE_KEY, ROBOT_KEY, SCOPES, serve_gateway
from tests.harness.running_inventory import ROBOT_SECRET
from tests.security.callers import OPS_SCOPES, issue, robot
from tests.security.hostile_tokens import Forge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.http_probe import Reply
    from tests.harness.running_gateway import RunningGateway
    from tests.harness.running_inventory import RunningInventory as Inventory

pytestmark = pytest.mark.asyncio(loop_scope="module")
ORDERS: Final = "/api/client/orders"
DEVICE: Final = {"aud": "ordering", "sub": "7", "device_id": "fridge-1", "scope": " ".join(SCOPES)}
ROBOT: Final = {"aud": "inventory", "sub": "7", "device_id": "dairy-1", "scope": "robot:pick:dairy"}
ONE_ANSWER: Final = "The access token is missing, malformed, expired or not meant for this."
NOT_ALLOWED_IN_HEADERS: Final = {"newline after", "NUL after", "letters beyond ASCII"}


def forge(key: str, claims: dict[str, Any]) -> Forge:
    now = int(time.time())
    return Forge(
        key.encode(), {"iss": "autogrocery", "iat": now, "nbf": now, "exp": now + 900, "jti": "abc"} | claims, now
    )


NAMES: Final = list(forge(DEVICE_KEY, DEVICE).hostile())
SENDABLE: Final = [  # with gRPC's own client
    name for name, token in forge(ROBOT_SECRET, ROBOT).hostile().items() if token.isascii() and token.isprintable()
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(module_dsn: str) -> AsyncIterator[RunningGateway]:
    async with serve_gateway(module_dsn) as opened:
        yield opened


async def send(gateway: RunningGateway, value: bytes, path: str = ORDERS, more: bytes = b"") -> Reply | None:
    """Send a request with these bytes as its Authorization header; None if the gateway disconnected."""
    async with wire(int(gateway.public.rpartition(":")[2])) as line:
        try:
            await line.send(b"GET %s HTTP/1.1\r\nhost: x\r\nauthorization: %s\r\n%s\r\n" % (path.encode(), value, more))
            return await line.reply()
        except (ConnectionError, EOFError):
            return None


async def test_there_are_over_115_hostile_tokens_and_their_base_is_accepted(gateway: RunningGateway) -> None:
    assert len(NAMES) >= 120
    assert len(SENDABLE) >= 115
    reply = await send(gateway, b"Bearer " + forge(DEVICE_KEY, DEVICE).claimed().encode())
    assert reply is not None
    assert reply.status == 200


@pytest.mark.parametrize("name", NAMES)
async def test_gateway_returns_401_for_hostile_token(gateway: RunningGateway, name: str) -> None:
    token = forge(DEVICE_KEY, DEVICE).hostile()[name]
    reply = await send(gateway, b"Bearer " + token.encode())
    if name in NOT_ALLOWED_IN_HEADERS or name == "one megabyte":
        assert reply is None or reply.status in {400, 401, 431}
        return
    assert reply is not None
    assert (reply.status, reply.code) == (401, "invalid_token")
    if token:
        assert reply.json["detail"] == ONE_ANSWER
        assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert token not in reply.body.decode() or not token


@pytest.mark.parametrize("name", SENDABLE)
async def test_inventory_returns_unauthenticated_for_hostile_token(inventory_of_module: Inventory, name: str) -> None:
    token = forge(ROBOT_SECRET, ROBOT).hostile()[name]
    request = pb.HeartbeatRequest(robot_id="dairy-1")
    status = await inventory_of_module.status_of("Heartbeat", request, token)
    assert status == ("RESOURCE_EXHAUSTED" if name == "one megabyte" else "UNAUTHENTICATED")


async def test_inventory_accepts_the_base_of_the_hostile_tokens(inventory_of_module: Inventory) -> None:
    request = pb.HeartbeatRequest(robot_id="dairy-1")
    assert await inventory_of_module.status_of("Heartbeat", request, forge(ROBOT_SECRET, ROBOT).claimed()) == "OK"


async def test_token_for_another_audience_or_key_is_refused(
    gateway: RunningGateway, inventory_of_module: Inventory
) -> None:
    device, operator = issue("d", 7, "ordering", SCOPES), issue("o", 7, "ops", OPS_SCOPES)
    wrong = [
        operator,
        robot("r", "dairy"),
        robot("r", "dairy", key=DEVICE_KEY),
        issue("d", 7, "inventory", SCOPES),
        issue("d", 7, "ordering", SCOPES, key=ROBOT_KEY),
        issue("d", 7, "ops ordering", SCOPES),
    ]
    for token in wrong:
        reply = await send(gateway, f"Bearer {token}".encode())
        assert reply is not None
        assert (reply.status, reply.code) == (401, "invalid_token")
    request = pb.HeartbeatRequest(robot_id="d")
    for token in (device, operator, issue("d", 7, "ordering", ("robot:pick:dairy",), key=ROBOT_SECRET)):
        assert await inventory_of_module.status_of("Heartbeat", request, token) == "UNAUTHENTICATED"


FORMS: Final = {
    "another scheme": (b"Basic %s", 401),
    "no scheme": (b"%s", 401),
    "no space": (b"Bearer%s", 401),
    "two spaces": (b"Bearer  %s", 401),
    "a tab": (b"Bearer\t%s", 401),
    "quoted": (b'Bearer "%s"', 401),
    "as a parameter": (b"Bearer token=%s", 401),
    "DPoP": (b"DPoP %s", 401),
    "in small letters (RFC 9110: schemes have no case)": (b"bearer %s", 200),
}


@pytest.mark.parametrize(("form", "status"), FORMS.values(), ids=FORMS.keys())
async def test_valid_token_is_accepted_in_the_bearer_scheme_only(
    gateway: RunningGateway, form: bytes, status: int
) -> None:
    reply = await send(gateway, form % forge(DEVICE_KEY, DEVICE).claimed().encode())
    assert reply is not None
    assert reply.status == status


async def test_token_in_query_body_or_cookie_is_ignored(gateway: RunningGateway) -> None:
    token = forge(DEVICE_KEY, DEVICE).claimed()
    assert (await gateway.request("GET", f"{ORDERS}?access_token={token}")).code == "invalid_token"
    assert (await gateway.request("GET", ORDERS, headers={"cookie": f"access_token={token}"})).code == "invalid_token"
    body = {"access_token": token, "items": [{"sku": "milk", "quantity": 1}]}
    assert (await gateway.request("POST", "/api/client/order/preview", body)).code == "invalid_token"


async def test_two_authorization_headers_return_400(gateway: RunningGateway) -> None:
    token = forge(DEVICE_KEY, DEVICE).claimed().encode()
    for first, second in ((b"Bearer " + token, b"Bearer x"), (b"Bearer x", b"Bearer " + token)):
        reply = await send(gateway, first, more=b"Authorization: " + second + b"\r\n")
        assert reply is not None
        assert reply.status == 400


async def test_refresh_token_and_access_token_are_not_interchangeable(gateway: RunningGateway) -> None:
    entry = {"device_id": "fridge-of-tokens", "password": "correct horse battery"}
    assert (await gateway.request("POST", "/api/client/register", entry)).status == 201
    pair = (await gateway.request("POST", "/api/client/login", entry)).json
    assert (await gateway.request("GET", ORDERS, token=pair["refresh_token"])).code == "invalid_token"
    assert (await gateway.request("POST", "/api/client/refresh", token=pair["access_token"])).code == "invalid_token"
    assert (
        await gateway.request("POST", "/internal/refresh", token=pair["refresh_token"], inside=True)
    ).code == "invalid_token"
    assert (await gateway.request("POST", "/api/client/refresh", token=pair["refresh_token"])).status == 200
