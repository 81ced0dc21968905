"""Cancel while PROCESSING: it succeeds before the first robot starts, and is too late afterwards."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from tests.harness.running_inventory import State

if TYPE_CHECKING:
    from tests.harness.mart import Mart
    from tests.harness.running_gateway import Device, Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")
RACES, ORDERS_EACH = 25, 8  # devices, and orders of each in sequence: within the rate limit of a device


async def test_a_cancel_before_any_start_returns_the_stock_of_every_aisle(mart: Mart) -> None:
    device, before = await mart.device(), await mart.available("milk", "baguette")
    order_id = await device.processing(milk=3, baguette=1)
    cancelled = await device.cancel(order_id)
    assert (cancelled.status, cancelled.json["status"]) == (200, "CANCELLED")
    assert await mart.available("milk", "baguette") == before
    assert await mart.inventory.work("dairy-1") == []


async def test_a_start_in_one_aisle_makes_a_cancel_too_late(mart: Mart) -> None:
    device = await mart.device()
    order_id = await device.processing(milk=3, baguette=1)
    leased = await mart.start(order_id, "dairy")
    assert (await device.cancel(order_id)).code == "too_late_to_cancel"
    await mart.inventory.report(*leased)
    await mart.pick(order_id, "bread")
    assert (await device.wait_for_status(order_id, "COMPLETED"))["outcome"] == "FULL"


async def test_200_cancels_race_a_robots_start_and_each_has_one_winner(mart: Mart) -> None:
    await mart.stock(milk=200)
    before = (await mart.available("milk"))["milk"]
    devices = [await mart.device(None) for _ in range(RACES)]

    async def races(number: int, device: Device) -> list[bool]:
        return [await race(mart, device, random.Random(f"{number}/{turn}")) for turn in range(ORDERS_EACH)]

    won = [started for each in await asyncio.gather(*map(races, range(RACES), devices)) for started in each]
    assert len(won) == RACES * ORDERS_EACH == 200
    assert 0 < sum(won) < 200  # both sides must win sometimes, or there was no race
    assert await mart.available("milk") == {"milk": before - sum(won)}


async def race(mart: Mart, device: Device, chance: random.Random) -> bool:
    """Cancel an order while a robot starts it; returns whether the robot was first. Both must agree."""
    order_id = await device.processing(milk=1)
    one = (await mart.assignments(order_id))["dairy"]
    assignment_id = str(one["assignment_id"])

    async def wait(pause_s: float) -> None:
        await asyncio.sleep(max(0.0, pause_s))

    lead_s = chance.uniform(-0.1, 0.05)  # a cancel takes longer to reach inventory than a start

    async def cancel() -> Reply:
        await wait(lead_s)
        return await device.cancel(order_id)

    async def start() -> tuple[bool, int]:
        await wait(-lead_s)
        lease = await mart.inventory.start(one["robot_id"], assignment_id)
        return lease.granted, lease.fence

    (started, fence), reply = await asyncio.gather(start(), cancel())
    if reply.status == 202:
        reply = await _settled(device, order_id)
    if started:
        assert (reply.status, reply.code) == (409, "too_late_to_cancel")
        await mart.inventory.report(one["robot_id"], assignment_id, fence)
        assert (await device.wait_for_status(order_id, "COMPLETED"))["outcome"] == "FULL"
        assert await mart.inventory.state(order_id) == State.COMPLETED
    else:
        assert (reply.status, reply.json["status"]) == (200, "CANCELLED")
        assert await mart.inventory.state(order_id) == State.RELEASED
        assert not (await mart.inventory.start(one["robot_id"], assignment_id)).granted
    path = [event["to"] for event in (await device.get(f"/api/client/orders/{order_id}/events")).json["data"]]
    assert path == ["PREVIEWED", "PROCESSING", "COMPLETED" if started else "CANCELLED"]
    return started


async def _settled(device: Device, order_id: str) -> Reply:
    """Repeat the cancel while it is in doubt, as a device does."""
    while (reply := await device.cancel(order_id)).status == 202:  # noqa: ASYNC110 - as devices do
        await asyncio.sleep(0.1)
    return reply
