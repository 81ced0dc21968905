"""A gateway whose database lies behind bad weather: it says 503 in time, forgets nothing, and recovers by itself."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.lab.fault_proxy import Weather
from tests.harness.running_gateway import picked
from tests.proofs.fault_proxy.stage import POOL_SIZE, persist

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.harness.running_gateway import Device, Reply
    from tests.proofs.fault_proxy.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
ANSWER_S = 8.0  # the 5 s that a handler has, and what a busy machine adds
RECOVERY_S = 5.0
STORMS = {
    "late": Weather(latency_s=0.02, jitter_s=0.02),
    "in slices": Weather(slice_bytes=5),
    "reset": Weather(reset_after_bytes=700),
    "reset at once": Weather(reset_after_bytes=0),
    "swallowed": Weather(swallow_replies=True),
    "a black hole": Weather(black_hole=True),
    "half closed": Weather(half_close=True),
    "refused": Weather(refuse=True),
}


async def count(stage: Stage, sql: str, *args: Any) -> int:
    row = await stage.shop.db.row(sql, *args)
    assert row is not None
    found: int = row[0]
    return found


async def orders_of(stage: Stage, device: Device) -> int:
    return await count(stage, "SELECT count(*) FROM grocery_orders WHERE user_id = $1", device.user_id)


async def has(stage: Stage, order_id: str, status: str) -> bool:
    sql = "SELECT count(*) FROM grocery_orders WHERE order_id = $1 AND status = $2"
    return bool(await count(stage, sql, order_id, status))


async def test_a_preview_whose_commit_is_not_answered_is_there_once(stage: Stage, device: Device) -> None:
    async def happened() -> bool:
        return await orders_of(stage, device) == 1

    lost = await stage.lose_commit(device.preview(key="k", milk=2), happened)
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await persist(lambda: device.preview(key="k", milk=2))
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert await orders_of(stage, device) == 1
    assert await has(stage, again.json["order_id"], "PREVIEWED")


async def test_a_confirm_whose_commit_is_not_answered_sends_robots_once(stage: Stage, device: Device) -> None:
    order_id = await device.previewed()
    lost = await stage.lose_commit(device.confirm(order_id), lambda: has(stage, order_id, "PROCESSING"))
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await persist(lambda: device.confirm(order_id))
    assert (again.status, again.json["order_id"], again.json["status"]) == (200, order_id, "PROCESSING")
    assert stage.shop.shelf.dispatches[order_id] == 1


async def test_a_cancel_whose_commit_is_not_answered_gives_the_stock_back_once(stage: Stage, device: Device) -> None:
    before = stage.shop.shelf.stock["milk"]
    order_id = await device.previewed(milk=2)
    lost = await stage.lose_commit(device.cancel(order_id), lambda: has(stage, order_id, "CANCELLED"))
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await persist(lambda: device.cancel(order_id))
    assert (again.status, again.json["status"]) == (200, "CANCELLED")
    assert stage.shop.shelf.stock["milk"] == before


async def test_a_webhook_whose_commit_is_not_answered_makes_one_receipt(stage: Stage, device: Device) -> None:
    order_id = await device.processing()
    stage.shop.shelf.finish(order_id)
    body, webhook_id = picked(order_id), f"msg_{order_id}"

    def deliver() -> Awaitable[Reply]:
        return stage.shop.deliver(body, webhook_id=webhook_id)

    lost = await stage.lose_commit(deliver(), lambda: has(stage, order_id, "COMPLETED"))
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await persist(deliver)
    assert (again.status, again.json) == (200, {"applied": False, "status": "COMPLETED"})
    assert await count(stage, "SELECT count(*) FROM receipt_outbox WHERE order_id = $1", order_id) == 1
    assert await count(stage, "SELECT count(*) FROM webhook_inbox WHERE order_id = $1", order_id) == 1


@pytest.mark.parametrize("storm", STORMS)
async def test_an_orders_life_in_storms_is_the_life_it_has_in_calm(stage: Stage, device: Device, storm: str) -> None:
    """Each storm comes over connections in use, lasts for a while, and goes; the device asks on all the time."""
    await device.previewed()
    async with stage.storm(STORMS[storm]):
        made = await persist(lambda: device.preview(key="k", milk=2))
    order_id = made.json["order_id"]
    async with stage.storm(STORMS[storm]):
        confirmed = await persist(lambda: device.confirm(order_id))
    stage.shop.shelf.finish(order_id)
    body = picked(order_id)
    async with stage.storm(STORMS[storm]):
        finished = await persist(lambda: stage.shop.deliver(body, webhook_id=f"msg_{order_id}"))
    assert (made.status, confirmed.status, finished.status) == (201, 200, 200)
    assert await has(stage, order_id, "COMPLETED")
    assert await orders_of(stage, device) == 2
    assert stage.shop.shelf.dispatches[order_id] == 1
    await stage.pool_is_whole()


async def test_in_a_black_hole_each_door_answers_503_in_time_and_afterwards_all_is_well(
    stage: Stage, device: Device
) -> None:
    order_id = await device.previewed()
    await asyncio.gather(*(stage.shop.ask("GET", "/readyz") for _ in range(4 * POOL_SIZE)))  # the pool is full
    stage.sea.weather = Weather(black_hole=True)

    async def timed(call: Awaitable[Reply]) -> tuple[int, str, float]:
        begun = time.monotonic()
        reply = await call
        return reply.status, reply.code, time.monotonic() - begun

    ready, *answers = await asyncio.gather(
        timed(stage.shop.ask("GET", "/readyz")),
        timed(device.get(f"/api/client/orders/{order_id}")),
        *(timed(device.confirm(order_id)) for _ in range(POOL_SIZE)),
        *(timed(device.preview(key=f"k{n}")) for n in range(4)),
    )
    assert ready[:2] == (503, "not_ready")
    assert {reply[:2] for reply in answers} <= {(503, "deadline_exceeded"), (503, "database_unavailable")}
    assert max(took_s for _, _, took_s in answers) < ANSWER_S
    stage.calm()
    begun = time.monotonic()
    assert (await persist(lambda: device.confirm(order_id))).status == 200
    assert (await persist(lambda: stage.shop.ask("GET", "/readyz"))).status == 200
    assert time.monotonic() - begun < RECOVERY_S
    assert stage.shop.shelf.dispatches[order_id] == 1
    await stage.pool_is_whole()
