"""Network faults between a device and the gateway: a call repeated with the same key returns the same order."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest

from autogrocery.lab.fault_proxy import NO_FAULTS, NetworkFaults
from tests.harness.running_gateway import PREVIEW, TIMEOUT_S, webhook_body
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.lab.fault_proxy import FaultProxy
    from tests.harness.running_gateway import Device, Reply
    from tests.proofs.fault_proxy.environment import ProxiedGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNT = "SELECT count(*) FROM grocery_orders WHERE user_id = $1"


async def lose_reply(proxy: FaultProxy, call: Awaitable[Reply], happened: Callable[[], Awaitable[bool]]) -> None:
    """Make a call that takes effect, and drop its response."""
    proxy.faults = NetworkFaults(swallow_replies=True)
    asking = asyncio.ensure_future(call)
    await until(happened)
    assert not asking.done()
    proxy.reset_all()
    proxy.faults = NO_FAULTS
    with pytest.raises(aiohttp.ClientConnectionError):
        await asking


async def retry(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeat a call whose connection breaks, as a device does."""
    for _ in range(20):
        with suppress(aiohttp.ClientError):
            return await ask()
    raise AssertionError("every attempt failed")


async def test_a_lost_preview_response_is_replayed_by_its_key(proxied: ProxiedGateway, device: Device) -> None:
    async def happened() -> bool:
        return await proxied.gate.count(COUNT, device.user_id) == 1

    await lose_reply(proxied.public_proxy, device.preview(key="k", milk=2), happened)
    again = await device.preview(key="k", milk=2)
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert await proxied.gate.count(COUNT, device.user_id) == 1
    assert (await device.order(again.json["order_id"]))["status"] == "PREVIEWED"


async def test_a_lost_confirm_response_dispatches_once(proxied: ProxiedGateway, device: Device) -> None:
    order_id, fake_inventory = await device.previewed(), proxied.gateway.fake_inventory

    async def happened() -> bool:
        return fake_inventory.dispatches[order_id] == 1

    await lose_reply(proxied.public_proxy, device.confirm(order_id), happened)
    again = await device.confirm(order_id)
    assert (again.status, again.json["status"]) == (200, "PROCESSING")
    assert fake_inventory.dispatches[order_id] == 1


async def test_a_lost_webhook_response_makes_one_receipt(proxied: ProxiedGateway, device: Device) -> None:
    order_id = await device.processing()
    proxied.gateway.fake_inventory.finish(order_id)
    body = webhook_body(order_id)

    async def happened() -> bool:
        return await proxied.gate.count("SELECT count(*) FROM receipt_outbox WHERE order_id = $1", order_id) == 1

    await lose_reply(proxied.internal_proxy, proxied.gateway.send_webhook(body, webhook_id=f"msg_{order_id}"), happened)
    again = await proxied.gateway.send_webhook(body, webhook_id=f"msg_{order_id}")
    assert (again.status, again.json) == (200, {"applied": False, "status": "COMPLETED"})
    assert await happened()


@pytest.mark.parametrize("after_bytes", [0, 100, 400, 600, 800, 1_000, 1_200])
async def test_a_connection_cut_anywhere_in_a_preview_makes_one_order(
    proxied: ProxiedGateway, device: Device, after_bytes: int
) -> None:
    """The connection breaks in the request's head, in its body, in the response's head, in its body."""
    proxied.public_proxy.faults = NetworkFaults(reset_after_bytes=after_bytes)
    broken = proxied.public_proxy.broken
    with suppress(aiohttp.ClientError):
        await device.preview(key="k", milk=2)
    assert proxied.public_proxy.broken > broken
    proxied.public_proxy.faults = NO_FAULTS
    reply = await retry(lambda: device.preview(key="k", milk=2))
    assert reply.status == 201
    assert await proxied.gate.count(COUNT, device.user_id) == 1
    assert (
        await proxied.gate.count("SELECT count(*) FROM grocery_orders WHERE order_id = $1", reply.json["order_id"]) == 1
    )


@pytest.mark.parametrize("faults", [NetworkFaults(slice_bytes=1), NetworkFaults(latency_s=0.01, jitter_s=0.02)])
async def test_sliced_and_delayed_traffic_is_served(
    proxied: ProxiedGateway, device: Device, faults: NetworkFaults
) -> None:
    proxied.public_proxy.faults = proxied.internal_proxy.faults = faults
    order_id = await device.processing()
    proxied.gateway.fake_inventory.finish(order_id)
    assert (await proxied.gateway.send_webhook(webhook_body(order_id))).json == {"applied": True, "status": "COMPLETED"}
    assert (await device.order(order_id))["status"] == "COMPLETED"


async def test_a_half_closed_request_is_answered(proxied: ProxiedGateway, device: Device) -> None:
    """RFC 9112 §9.6: a client may half-close. The gateway responds, then closes the connection."""
    proxied.public_proxy.faults = NetworkFaults(half_close=True)
    body = json.dumps({"items": [{"sku": "milk", "quantity": 2}]}).encode()
    head = (
        f"POST {PREVIEW} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {device.token}\r\nIdempotency-Key: k\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", proxied.public_proxy.port)
    writer.write(head.encode() + body)
    async with asyncio.timeout(TIMEOUT_S):
        answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 201 ")
    proxied.public_proxy.faults = NO_FAULTS
    reply = await device.preview(key="k", milk=2)
    assert (reply.status, reply.headers["idempotency-replayed"]) == (201, "true")
    assert await proxied.gate.count(COUNT, device.user_id) == 1


async def test_a_blocked_public_listener_delays_requests_and_leaves_the_internal_one_alone(
    proxied: ProxiedGateway, device: Device
) -> None:
    order_id = await device.previewed()
    proxied.public_proxy.faults = NetworkFaults(black_hole=True)
    asking = [asyncio.ensure_future(device.confirm(order_id)) for _ in range(3)]
    assert (await proxied.gateway.request("GET", "/readyz", inside=True)).status == 200
    assert not any(one.done() for one in asking)
    proxied.public_proxy.faults = NO_FAULTS
    assert [reply.status for reply in await asyncio.gather(*asking)] == [200] * 3
    assert proxied.gateway.fake_inventory.dispatches[order_id] == 1
