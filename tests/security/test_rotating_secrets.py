"""Secrets are rotated while clients go on: no issued token is refused before it expires."""

from __future__ import annotations

import jwt

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.harness.running_gateway import WEBHOOK_KEYS, serve_gateway, webhook_body
from tests.harness.running_inventory import ROBOT_SECRET, RunningInventory
from tests.harness.running_inventory import run_inventory as opened
from tests.security.callers import robot

OLD, NEW = "what-has-signed-tokens-for-a-year", "what-signs-tokens-from-today-on---"
ENTRY = {"device_id": "fridge-1", "password": "correct horse battery"}
ORDERS = "/api/client/orders"


def signed_with(token: str, key: str) -> bool:
    try:
        jwt.decode(token, key, ["HS256"], audience="ordering")
    except jwt.InvalidSignatureError:
        return False
    return True


async def test_device_tokens_stay_valid_while_jwt_secret_is_rotated(gateway_dsn: str) -> None:
    async with serve_gateway(gateway_dsn, JWT_SECRET=OLD) as gateway:
        assert (await gateway.request("POST", "/api/client/register", ENTRY)).status == 201
        first = (await gateway.request("POST", "/api/client/login", ENTRY)).json
    async with serve_gateway(
        gateway_dsn, JWT_SECRET=f"{OLD},{NEW}"
    ) as gateway:  # first every gateway accepts the new secret
        assert (await gateway.request("GET", ORDERS, token=first["access_token"])).status == 200
        second = (await gateway.request("POST", "/api/client/refresh", token=first["refresh_token"])).json
        assert signed_with(second["access_token"], OLD)
    async with serve_gateway(gateway_dsn, JWT_SECRET=f"{NEW}, {OLD}") as gateway:  # then every gateway signs with it
        assert (await gateway.request("GET", ORDERS, token=second["access_token"])).status == 200
        third = (await gateway.request("POST", "/api/client/refresh", token=second["refresh_token"])).json
        assert signed_with(third["access_token"], NEW)
        assert (await gateway.request("GET", ORDERS, token=third["access_token"])).status == 200
    async with serve_gateway(
        gateway_dsn, JWT_SECRET=NEW
    ) as gateway:  # after an access token's lifetime the old secret is removed
        assert (await gateway.request("GET", ORDERS, token=second["access_token"])).code == "invalid_token"
        assert (await gateway.request("GET", ORDERS, token=third["access_token"])).status == 200
        assert (await gateway.request("POST", "/api/client/refresh", token=third["refresh_token"])).status == 200


async def test_webhooks_are_accepted_while_webhook_secret_is_rotated(gateway_dsn: str) -> None:
    old, new = WEBHOOK_KEYS
    for accepted, signs, status in (
        (old, old, 200),
        (f"{old},{new}", old, 200),
        (f"{old},{new}", new, 200),
        (new, old, 401),
    ):
        async with serve_gateway(gateway_dsn, WEBHOOK_SECRET=accepted) as gateway:
            order_id = await (await gateway.device()).processing()
            assert (await gateway.send_webhook(webhook_body(order_id), key=signs)).status == status


async def test_robot_tokens_stay_valid_while_robot_jwt_secret_is_rotated(inventory_dsn: str) -> None:
    new = "what-signs-robots-from-today-on---"
    request = pb.HeartbeatRequest(robot_id="dairy-1")
    old_token, new_token = robot("dairy-1", "dairy", key=ROBOT_SECRET), robot("dairy-1", "dairy", key=new)

    async def statuses(gateway: RunningInventory) -> list[str]:
        return [await gateway.status_of("Heartbeat", request, token) for token in (old_token, new_token)]

    async with opened(inventory_dsn) as gateway:
        assert await statuses(gateway) == ["OK", "UNAUTHENTICATED"]
        await gateway.restart(robot_jwt_secret=f"{new},{ROBOT_SECRET}")
        assert await statuses(gateway) == ["OK", "OK"]
        await gateway.restart(robot_jwt_secret=new)
        assert await statuses(gateway) == ["UNAUTHENTICATED", "OK"]
