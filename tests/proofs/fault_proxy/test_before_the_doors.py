"""Bad weather between a device and the gateway: a device that repeats its call with the same key gets the same order."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest

from autogrocery.lab.fault_proxy import CALM, Weather
from tests.harness.running_gateway import PATIENCE_S, PREVIEW, picked, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.lab.fault_proxy import FaultProxy
    from tests.harness.running_gateway import Device, Reply
    from tests.proofs.fault_proxy.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNT = "SELECT count(*) FROM grocery_orders WHERE user_id = $1"


async def unheard(proxy: FaultProxy, call: Awaitable[Reply], happened: Callable[[], Awaitable[bool]]) -> None:
    """Make a call whose effect comes and whose answer does not."""
    proxy.weather = Weather(swallow_replies=True)
    asking = asyncio.ensure_future(call)
    await until(happened)
    assert not asking.done()
    proxy.reset_all()
    proxy.weather = CALM
    with pytest.raises(aiohttp.ClientConnectionError):
        await asking


async def persist(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """Ask as a device does: again when the connection breaks."""
    for _ in range(20):
        with suppress(aiohttp.ClientError):
            return await ask()
    raise AssertionError("nothing came through")


async def test_a_preview_whose_answer_is_lost_is_found_by_its_key(stage: Stage, device: Device) -> None:
    async def happened() -> bool:
        return await stage.gate.count(COUNT, device.user_id) == 1

    await unheard(stage.street, device.preview(key="k", milk=2), happened)
    again = await device.preview(key="k", milk=2)
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert await stage.gate.count(COUNT, device.user_id) == 1
    assert (await device.order(again.json["order_id"]))["status"] == "PREVIEWED"


async def test_a_confirm_whose_answer_is_lost_has_sent_the_robots_once(stage: Stage, device: Device) -> None:
    order_id, shelf = await device.previewed(), stage.shop.shelf

    async def happened() -> bool:
        return shelf.dispatches[order_id] == 1

    await unheard(stage.street, device.confirm(order_id), happened)
    again = await device.confirm(order_id)
    assert (again.status, again.json["status"]) == (200, "PROCESSING")
    assert shelf.dispatches[order_id] == 1


async def test_a_webhook_whose_answer_is_lost_is_delivered_again_and_makes_one_receipt(
    stage: Stage, device: Device
) -> None:
    order_id = await device.processing()
    stage.shop.shelf.finish(order_id)
    body = picked(order_id)

    async def happened() -> bool:
        return await stage.gate.count("SELECT count(*) FROM receipt_outbox WHERE order_id = $1", order_id) == 1

    await unheard(stage.yard, stage.shop.deliver(body, webhook_id=f"msg_{order_id}"), happened)
    again = await stage.shop.deliver(body, webhook_id=f"msg_{order_id}")
    assert (again.status, again.json) == (200, {"applied": False, "status": "COMPLETED"})
    assert await happened()


@pytest.mark.parametrize("after_bytes", [0, 100, 400, 600, 800, 1_000, 1_200])
async def test_a_connection_cut_anywhere_in_a_preview_makes_one_order(
    stage: Stage, device: Device, after_bytes: int
) -> None:
    """In the request's head, in its body, in the answer's head, in its body."""
    stage.street.weather = Weather(reset_after_bytes=after_bytes)
    broken = stage.street.broken
    with suppress(aiohttp.ClientError):
        await device.preview(key="k", milk=2)
    assert stage.street.broken > broken
    stage.street.weather = CALM
    reply = await persist(lambda: device.preview(key="k", milk=2))
    assert reply.status == 201
    assert await stage.gate.count(COUNT, device.user_id) == 1
    assert (
        await stage.gate.count("SELECT count(*) FROM grocery_orders WHERE order_id = $1", reply.json["order_id"]) == 1
    )


@pytest.mark.parametrize("weather", [Weather(slice_bytes=1), Weather(latency_s=0.01, jitter_s=0.02)])
async def test_slices_and_lateness_do_not_disturb(stage: Stage, device: Device, weather: Weather) -> None:
    stage.street.weather = stage.yard.weather = weather
    order_id = await device.processing()
    stage.shop.shelf.finish(order_id)
    assert (await stage.shop.deliver(picked(order_id))).json == {"applied": True, "status": "COMPLETED"}
    assert (await device.order(order_id))["status"] == "COMPLETED"


async def test_a_device_that_ends_its_stream_behind_its_request_is_answered(stage: Stage, device: Device) -> None:
    """RFC 9112 §9.6: a client may half-close. The gateway answers, then ends the connection."""
    stage.street.weather = Weather(half_close=True)
    body = json.dumps({"items": [{"sku": "milk", "quantity": 2}]}).encode()
    head = (
        f"POST {PREVIEW} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {device.token}\r\nIdempotency-Key: k\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.street.port)
    writer.write(head.encode() + body)
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 201 ")
    stage.street.weather = CALM
    reply = await device.preview(key="k", milk=2)
    assert (reply.status, reply.headers["idempotency-replayed"]) == (201, "true")
    assert await stage.gate.count(COUNT, device.user_id) == 1


async def test_a_black_hole_before_the_door_loses_nothing_and_disturbs_nobody_else(
    stage: Stage, device: Device
) -> None:
    order_id = await device.previewed()
    stage.street.weather = Weather(black_hole=True)
    asking = [asyncio.ensure_future(device.confirm(order_id)) for _ in range(3)]
    assert (await stage.shop.ask("GET", "/readyz", inside=True)).status == 200
    assert not any(one.done() for one in asking)
    stage.street.weather = CALM
    assert [reply.status for reply in await asyncio.gather(*asking)] == [200] * 3
    assert stage.shop.shelf.dispatches[order_id] == 1
