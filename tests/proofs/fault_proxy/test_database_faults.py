"""Network faults between gateway and database: it answers 503 in time, loses nothing and recovers by itself."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.lab.fault_proxy import NetworkFaults
from tests.harness.running_gateway import webhook_body
from tests.proofs.fault_proxy.environment import POOL_SIZE, retry

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.harness.running_gateway import Device, Reply
    from tests.proofs.fault_proxy.environment import ProxiedGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
ANSWER_S = 8.0  # the 5 s deadline of a request, and a margin for a busy machine
RECOVERY_S = 5.0
FAULTS = {
    "late": NetworkFaults(latency_s=0.02, jitter_s=0.02),
    "in slices": NetworkFaults(slice_bytes=5),
    "reset": NetworkFaults(reset_after_bytes=700),
    "reset at once": NetworkFaults(reset_after_bytes=0),
    "swallowed": NetworkFaults(swallow_replies=True),
    "blocked": NetworkFaults(black_hole=True),
    "half closed": NetworkFaults(half_close=True),
    "refused": NetworkFaults(refuse=True),
}


async def count(proxied: ProxiedGateway, sql: str, *args: Any) -> int:
    row = await proxied.gateway.db.row(sql, *args)
    assert row is not None
    found: int = row[0]
    return found


async def orders_of(proxied: ProxiedGateway, device: Device) -> int:
    return await count(proxied, "SELECT count(*) FROM grocery_orders WHERE user_id = $1", device.user_id)


async def has(proxied: ProxiedGateway, order_id: str, status: str) -> bool:
    sql = "SELECT count(*) FROM grocery_orders WHERE order_id = $1 AND status = $2"
    return bool(await count(proxied, sql, order_id, status))


async def test_a_preview_with_a_lost_commit_reply_creates_one_order(proxied: ProxiedGateway, device: Device) -> None:
    async def happened() -> bool:
        return await orders_of(proxied, device) == 1

    lost = await proxied.lose_commit(device.preview(key="k", milk=2), happened)
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await retry(lambda: device.preview(key="k", milk=2))
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert await orders_of(proxied, device) == 1
    assert await has(proxied, again.json["order_id"], "PREVIEWED")


async def test_a_confirm_with_a_lost_commit_reply_dispatches_once(proxied: ProxiedGateway, device: Device) -> None:
    order_id = await device.previewed()
    lost = await proxied.lose_commit(device.confirm(order_id), lambda: has(proxied, order_id, "PROCESSING"))
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await retry(lambda: device.confirm(order_id))
    assert (again.status, again.json["order_id"], again.json["status"]) == (200, order_id, "PROCESSING")
    assert proxied.gateway.fake_inventory.dispatches[order_id] == 1


async def test_a_cancel_with_a_lost_commit_reply_returns_the_stock_once(
    proxied: ProxiedGateway, device: Device
) -> None:
    before = proxied.gateway.fake_inventory.stock["milk"]
    order_id = await device.previewed(milk=2)
    lost = await proxied.lose_commit(device.cancel(order_id), lambda: has(proxied, order_id, "CANCELLED"))
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await retry(lambda: device.cancel(order_id))
    assert (again.status, again.json["status"]) == (200, "CANCELLED")
    assert proxied.gateway.fake_inventory.stock["milk"] == before


async def test_a_webhook_with_a_lost_commit_reply_makes_one_receipt(proxied: ProxiedGateway, device: Device) -> None:
    order_id = await device.processing()
    proxied.gateway.fake_inventory.finish(order_id)
    body, webhook_id = webhook_body(order_id), f"msg_{order_id}"

    def deliver() -> Awaitable[Reply]:
        return proxied.gateway.send_webhook(body, webhook_id=webhook_id)

    lost = await proxied.lose_commit(deliver(), lambda: has(proxied, order_id, "COMPLETED"))
    assert (lost.status, lost.code) == (503, "database_unavailable")
    again = await retry(deliver)
    assert (again.status, again.json) == (200, {"applied": False, "status": "COMPLETED"})
    assert await count(proxied, "SELECT count(*) FROM receipt_outbox WHERE order_id = $1", order_id) == 1
    assert await count(proxied, "SELECT count(*) FROM webhook_inbox WHERE order_id = $1", order_id) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_order_completes_despite_database_faults(proxied: ProxiedGateway, device: Device, fault: str) -> None:
    """The faults affect connections in use, last for FAULT_S and end; the device retries all the time."""
    await device.previewed()
    async with proxied.database_faults(FAULTS[fault]):
        made = await retry(lambda: device.preview(key="k", milk=2))
    order_id = made.json["order_id"]
    async with proxied.database_faults(FAULTS[fault]):
        confirmed = await retry(lambda: device.confirm(order_id))
    proxied.gateway.fake_inventory.finish(order_id)
    body = webhook_body(order_id)
    async with proxied.database_faults(FAULTS[fault]):
        finished = await retry(lambda: proxied.gateway.send_webhook(body, webhook_id=f"msg_{order_id}"))
    assert (made.status, confirmed.status, finished.status) == (201, 200, 200)
    assert await has(proxied, order_id, "COMPLETED")
    assert await orders_of(proxied, device) == 2
    assert proxied.gateway.fake_inventory.dispatches[order_id] == 1
    await proxied.wait_for_whole_pool()


async def test_a_database_that_blocks_all_traffic_gives_503_in_time_and_recovers(
    proxied: ProxiedGateway, device: Device
) -> None:
    order_id = await device.previewed()
    await asyncio.gather(
        *(proxied.gateway.request("GET", "/readyz") for _ in range(4 * POOL_SIZE))
    )  # so that the pool has opened all its connections
    proxied.database_proxy.faults = NetworkFaults(black_hole=True)

    async def timed(call: Awaitable[Reply]) -> tuple[int, str, float]:
        begun = time.monotonic()
        reply = await call
        return reply.status, reply.code, time.monotonic() - begun

    ready, *answers = await asyncio.gather(
        timed(proxied.gateway.request("GET", "/readyz")),
        timed(device.get(f"/api/client/orders/{order_id}")),
        *(timed(device.confirm(order_id)) for _ in range(POOL_SIZE)),
        *(timed(device.preview(key=f"k{n}")) for n in range(4)),
    )
    assert ready[:2] == (503, "not_ready")
    assert {reply[:2] for reply in answers} <= {(503, "deadline_exceeded"), (503, "database_unavailable")}
    assert max(took_s for _, _, took_s in answers) < ANSWER_S
    proxied.clear_faults()
    begun = time.monotonic()
    assert (await retry(lambda: device.confirm(order_id))).status == 200
    assert (await retry(lambda: proxied.gateway.request("GET", "/readyz"))).status == 200
    assert time.monotonic() - begun < RECOVERY_S
    assert proxied.gateway.fake_inventory.dispatches[order_id] == 1
    await proxied.wait_for_whole_pool()
