"""Secrets are exchanged while devices go on asking: no token that was given out is refused before its time."""

from __future__ import annotations

import jwt

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.harness.running_gateway import WEBHOOK_KEYS, open_shop, picked
from tests.harness.running_inventory import ROBOT_SECRET, Shop
from tests.harness.running_inventory import shop as opened
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


async def test_a_device_never_notices_that_the_secret_of_tokens_is_exchanged(gateway_dsn: str) -> None:
    async with open_shop(gateway_dsn, JWT_SECRET=OLD) as shop:
        assert (await shop.ask("POST", "/api/client/register", ENTRY)).status == 201
        first = (await shop.ask("POST", "/api/client/login", ENTRY)).json
    async with open_shop(gateway_dsn, JWT_SECRET=f"{OLD},{NEW}") as shop:  # every gateway learns the new one first
        assert (await shop.ask("GET", ORDERS, token=first["access_token"])).status == 200
        second = (await shop.ask("POST", "/api/client/refresh", token=first["refresh_token"])).json
        assert signed_with(second["access_token"], OLD)
    async with open_shop(gateway_dsn, JWT_SECRET=f"{NEW}, {OLD}") as shop:  # then each signs with it
        assert (await shop.ask("GET", ORDERS, token=second["access_token"])).status == 200
        third = (await shop.ask("POST", "/api/client/refresh", token=second["refresh_token"])).json
        assert signed_with(third["access_token"], NEW)
        assert (await shop.ask("GET", ORDERS, token=third["access_token"])).status == 200
    async with open_shop(gateway_dsn, JWT_SECRET=NEW) as shop:  # an access token's life later the old one goes
        assert (await shop.ask("GET", ORDERS, token=second["access_token"])).code == "invalid_token"
        assert (await shop.ask("GET", ORDERS, token=third["access_token"])).status == 200
        assert (await shop.ask("POST", "/api/client/refresh", token=third["refresh_token"])).status == 200


async def test_inventorys_webhooks_are_taken_through_an_exchange_of_secrets(gateway_dsn: str) -> None:
    old, new = WEBHOOK_KEYS
    for accepted, signs, status in (
        (old, old, 200),
        (f"{old},{new}", old, 200),
        (f"{old},{new}", new, 200),
        (new, old, 401),
    ):
        async with open_shop(gateway_dsn, WEBHOOK_SECRET=accepted) as shop:
            order_id = await (await shop.device()).processing()
            assert (await shop.deliver(picked(order_id), key=signs)).status == status


async def test_robots_go_on_through_an_exchange_of_secrets(inventory_dsn: str) -> None:
    new = "what-signs-robots-from-today-on---"
    request = pb.HeartbeatRequest(robot_id="dairy-1")
    old_token, new_token = robot("dairy-1", "dairy", key=ROBOT_SECRET), robot("dairy-1", "dairy", key=new)

    async def said(shop: Shop) -> list[str]:
        return [await shop.status_of("Heartbeat", request, token) for token in (old_token, new_token)]

    async with opened(inventory_dsn) as shop:
        assert await said(shop) == ["OK", "UNAUTHENTICATED"]
        await shop.restart(robot_jwt_secret=f"{new},{ROBOT_SECRET}")
        assert await said(shop) == ["OK", "OK"]
        await shop.restart(robot_jwt_secret=new)
        assert await said(shop) == ["UNAUTHENTICATED", "OK"]
