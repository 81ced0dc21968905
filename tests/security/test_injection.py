"""Attack strings in every text field: refused, or stored and returned unchanged; never a 5xx, never logged."""

from __future__ import annotations

import json
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
import pytest_asyncio

from autogrocery.kit.ids import uuid7
from tests.harness.gateway_process import start_gateway_process
from tests.harness.running_gateway import webhook_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.harness.gateway_process import GatewayProcess
    from tests.harness.running_gateway import Device, Reply, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
MARK: Final = "iNjEcT"
STRINGS: Final = [
    text.replace("@", MARK)
    for text in (
        "@' OR '1'='1",
        "@'; DROP TABLE grocery_orders; --",
        '@" UNION SELECT password FROM smart_devices --',
        "@\\'; SELECT pg_sleep(9)--",
        "@%' AND 1=1 --",
        "@$$; SELECT 1; $$",
        "@{{7777*7777}}",
        "@${7777*7777}",
        "@<%= 7777*7777 %>",
        "@{% raw %}",
        "@${jndi:ldap://127.0.0.1/x}",
        "@%s%s%s%n",
        "@{0.__class__}",
        "@%(password)s",
        "@\r\nSet-Cookie: a=b",
        "@\nHTTP/1.1 200 OK",
        '@\n{"event":"forged","level":"error"}',
        "@\x1b[2J\x1b[31m",
        "@../../../../etc/passwd",
        "@..\\..\\windows",
        "/@/../../proc/self/environ",
        "@%2e%2e%2f",
        "file:///@",
        "@<script>alert(1)</script>",
        '@"><img src=x onerror=alert(1)>',
        "javascript:@",
        "@<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>",
        "@$(id)",
        "@`id`",
        "@; id",
        "@|id",
        "=cmd|'/c calc'!@",
        "@*)(uid=*",
        "@\x00",
        "@\x7f",
        "@\u0085\u2028\u2029",
        "@\u202eevil",
        "@\u200b\u200d\ufeff",
        "@\uffff\ufffe",
        "@\U0001f9c5\U0010ffff",
        "@" + "e\u0301" * 30,
        "@\u0130\u0131\u017f\u212a",
        "@\u0660\u0661",
        "@" + "A" * 5_000,
        "@" + "\U0001f9c5" * 300,
        "@\\u0000",
        "@\\ud800",
    )
]
FIELDS: Final[dict[str, Callable[[RunningGateway, Device, str], Awaitable[Reply]]]] = {}


def field(ask: Any) -> Any:
    FIELDS[ask.__name__] = ask
    return ask


def entry(**more: str) -> dict[str, str]:
    return {
        "device_id": f"fridge-{uuid7().hex}",
        "password": "x",
    } | more  # too short, so that no time is spent on hashing


@field
async def register_device_id(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("POST", "/api/client/register", entry(device_id=text))


@field
async def register_password(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("POST", "/api/client/register", entry(password=text, email="no address"))


@field
async def register_phone(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("POST", "/api/client/register", entry(phone=text))


@field
async def unknown_member(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("POST", "/api/client/register", entry() | {text: text})


@field
async def login_device_id(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("POST", "/api/client/login", {"device_id": text, "password": "\0"})


@field
async def refresh_token(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("POST", "/api/client/refresh", token=sendable(text))


@field
async def access_token(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("GET", "/api/client/orders", token=sendable(text))


@field
async def new_password(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.post("/api/client/password", {"password": "\0", "new_password": text})


@field
async def sku(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.post("/api/client/order/preview", {"items": [{"sku": text, "quantity": 1}]})


@field
async def idempotency_key(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.preview(key=sendable(text)[:300] or "x")


@field
async def catalog_query(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.get(f"/api/client/catalog?q={quote(text, errors='replace')}")


@field
async def catalog_cursor(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.get(f"/api/client/catalog?cursor={quote(text, errors='replace')}")


@field
async def orders_cursor(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.get(f"/api/client/orders?cursor={quote(text)}")


@field
async def orders_status(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.get(f"/api/client/orders?status={quote(text)}")


@field
async def unknown_query(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.get(f"/api/client/orders?{quote(text)}={quote(text)}")


@field
async def path_order_id(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.get(f"/api/client/orders/{quote(text, safe='')}")


@field
async def body_order_id(_: RunningGateway, device: Device, text: str) -> Reply:
    return await device.post("/api/client/order/confirm", {"order_id": text})


@field
async def unknown_path(gateway: RunningGateway, _: Device, text: str) -> Reply:
    return await gateway.request("GET", f"/{quote(text, safe='')}")


@field
async def other_headers(_: RunningGateway, device: Device, text: str) -> Reply:
    value = sendable(text)
    headers = {
        "user-agent": value,
        "x-request-id": value,
        "accept": value,
        "last-event-id": value,
        "x-forwarded-for": value,
        "referer": value,
    }
    return await device.get("/api/client/me", headers=headers)


@field
async def webhook_reason(gateway: RunningGateway, device: Device, text: str) -> Reply:
    order_id = await device.processing()
    robots = [{"robot_id": text[:100], "robot_class": text[:100], "assignment_id": text[:100]}]
    return await gateway.send_webhook(webhook_body(order_id, reason=text[:200], robots=robots))


@field
async def webhook_sku(gateway: RunningGateway, device: Device, text: str) -> Reply:
    order_id = await device.processing()
    reply = await gateway.send_webhook(webhook_body(order_id, items=[{"sku": text[:64], "picked": 1}]))
    await gateway.send_webhook(webhook_body(order_id))
    return reply


def sendable(text: str) -> str:
    """Return the part of a string that an HTTP client library can send in a header."""
    return "".join(letter for letter in text if letter.isprintable() and ord(letter) < 256)[:2_000].strip()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def role(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    directory: Path = tmp_path_factory.mktemp("role")
    async with start_gateway_process(module_dsn, directory) as opened:
        yield opened
    text = opened.stderr.read_text()
    assert MARK not in text
    assert {json.loads(line)["level"] for line in text.splitlines()} <= {"info", "warning"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devices(role: GatewayProcess) -> list[Device]:
    """Several devices, because each has a rate limit."""
    return [await role.gateway.device() for _ in range(16)]


SLOW: Final = {
    "webhook_reason",
    "webhook_sku",
    "login_device_id",
}  # these make an order or a hash for each string, so they try fewer


@pytest.mark.parametrize("ask", FIELDS.values(), ids=FIELDS.keys())
async def test_attack_string_in_any_field_causes_no_5xx(
    role: GatewayProcess, devices: list[Device], ask: Callable[..., Awaitable[Reply]]
) -> None:
    for text, device in zip(STRINGS[:: 1 if ask.__name__ not in SLOW else 6], cycle(devices)):
        reply = await ask(role.gateway, device, text)
        assert reply.status < 500, (text, reply)
        assert "set-cookie" not in reply.headers
        assert "60481729" not in reply.body.decode() or "7777*7777" not in text, "a template was evaluated"
        if reply.status >= 400:
            assert reply.code


STORED: Final = [
    "a'b|c@example.org",
    "{{7777*7777}}@example.org",
    "${jndi}%s@example.org",
    "\U0001f9c5`{$}@example.org",
    "b&amp#~?@example.org",
]


@pytest.mark.parametrize("email", STORED)
async def test_stored_text_is_returned_unchanged(role: GatewayProcess, email: str) -> None:
    name = f"{uuid7()}-'\"$`{{}}<>%s\\"
    wanted = {"device_id": name, "password": f"{MARK} pass '\" \U0001f9c5 %s", "email": email, "phone": "+15550107799"}
    assert (await role.gateway.request("POST", "/api/client/register", wanted)).status == 201
    login = {"device_id": name, "password": wanted["password"]}
    token = (await role.gateway.request("POST", "/api/client/login", login)).json["access_token"]
    me = (await role.gateway.request("GET", "/api/client/me", token=token)).json
    assert (me["device_id"], me["email"], me["phone"]) == (name, email, "+15550107799")


async def test_unusual_robot_id_is_returned_unchanged(role: GatewayProcess) -> None:
    device = await role.gateway.device()
    order_id = await device.processing()
    odd = "r'\"{{7777*7777}}\u202e\U0001f9c5"
    robots = [{"robot_id": odd, "robot_class": "dairy", "assignment_id": odd}]
    assert (await role.gateway.send_webhook(webhook_body(order_id, robots=robots))).status == 200
    assert (await device.order(order_id))["robots"] == robots


async def test_tables_and_invariants_survive_all_attack_strings(role: GatewayProcess) -> None:
    tables = await role.gateway.db.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {"grocery_orders", "smart_devices", "order_history"} <= {row["tablename"] for row in tables}
    audit = await role.gateway.request("GET", "/internal/audit", inside=True)
    assert audit.json["clean"]
