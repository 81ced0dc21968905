"""What operators read from a real gateway: overview, orders, the bundle, attention, peers and invariants."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from grpc import StatusCode

from autogrocery.contracts.ops.attention import AttentionOut
from autogrocery.contracts.ops.orders import OrderBundle, OrderRows
from autogrocery.contracts.ops.overview import InvariantsOut, Overview, PeersOut
from tests.harness.running_gateway import webhook_body
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.operators import Operator
    from tests.harness.running_gateway import Device, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def overview(reader: Operator) -> Overview:
    return msgspec.convert(await reader.read("/overview"), Overview, strict=False)


async def rows(reader: Operator, query: str) -> OrderRows:
    return msgspec.convert(await reader.read(f"/orders?{query}"), OrderRows, strict=False)


async def bundle(reader: Operator, order_id: str) -> OrderBundle:
    return msgspec.convert(await reader.read(f"/orders/{order_id}"), OrderBundle, strict=False)


async def give_address(gateway: RunningGateway, device: Device) -> None:
    await gateway.db.run(
        "UPDATE smart_devices SET email = 'kitchen@mart.example', phone = '+15550100' WHERE id = $1", device.user_id
    )


async def completed(gateway: RunningGateway, device: Device) -> str:
    order_id = await device.processing(milk=2)
    reply = await gateway.send_webhook(webhook_body(order_id))
    assert reply.status == 200, reply
    return order_id


async def test_overview_counts_what_happened(gateway: RunningGateway, device: Device, reader: Operator) -> None:
    before = await overview(reader)
    await give_address(gateway, device)
    done, open_order = await completed(gateway, device), await device.previewed()

    async def is_counted() -> bool:
        seen = await overview(reader)
        return seen.today["COMPLETED"] == before.today["COMPLETED"] + 1

    await until(is_counted, 5.0, 0.2)
    seen = await overview(reader)
    total = (await device.order(done))["total_cents"]
    assert seen.revenue_today_cents - before.revenue_today_cents == total
    assert seen.today["PREVIEWED"] - before.today["PREVIEWED"] == 2
    assert seen.in_flight.previewed == before.in_flight.previewed + 1
    assert seen.orders_per_second > 0
    assert sum(minute.completed for minute in seen.minutes) >= 1
    assert {peer.name: peer.state for peer in seen.peers} == {"inventory": "up", "pricing": "up"}
    assert seen.outboxes.receipts.due >= 1
    await device.cancel(open_order)


async def test_overview_serves_ten_readers_within_a_second_by_one_answer(reader: Operator) -> None:
    replies = await asyncio.gather(*(reader.read("/overview") for _ in range(10)))
    assert len({reply["at"] for reply in replies}) == 1


async def test_search_finds_by_device_status_sku_cause_and_beginning(
    gateway: RunningGateway, device: Device, reader: Operator
) -> None:
    done, held = await completed(gateway, device), await device.previewed(apple=1)
    mine = f"device={device.device_id}"

    async def ids(query: str) -> list[str]:
        return [str(row.order_id) for row in (await rows(reader, query)).data]

    assert await ids(mine) == [held, done]
    assert await ids(f"{mine}&status=COMPLETED") == [done]
    assert await ids(f"{mine}&status=PREVIEWED") == [held]
    assert await ids(f"{mine}&sku=apple") == [held]
    assert await ids(f"{mine}&cause=picked") == [done]
    assert await ids(f"{mine}&attention=true") == []
    assert await ids(f"{mine}&until=2020-01-01T00:00:00Z") == []
    assert await ids(f"{mine}&since=2020-01-01T00:00:00Z") == [held, done]
    assert await ids(f"q={device.device_id[:-1]}") == [held, done]
    assert await ids(f"q={held}") == [held]
    assert held in await ids(f"q={held[:13]}")
    assert await ids("device=no-such-device") == []


async def test_pages_are_complete_and_without_repeats(device: Device, reader: Operator) -> None:
    made = [await device.previewed() for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = await rows(reader, f"device={device.device_id}&limit=2{cursor}")
        seen += [str(row.order_id) for row in page.data]
        if page.next_cursor is None:
            break
        cursor = f"&cursor={page.next_cursor}"
    assert seen == made[::-1]


@pytest.mark.parametrize(
    "text", ["%25", "_", "fridge%25", "\\", "'%20OR%201=1--", "%22;DROP%20TABLE%20grocery_orders", "fridge_"]
)
async def test_search_text_has_no_wildcards_and_is_no_sql(device: Device, reader: Operator, text: str) -> None:
    await device.previewed()
    reply = await reader.get(f"/orders?q={text}")
    assert reply.status in {200, 422}
    assert reply.status == 422 or reply.json["data"] == []


OTHER_SPELLING: Final = base64.urlsafe_b64encode(b"2026-01-01 00000000-0000-0000-0000-000000000000 x").decode()


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=99999999999999999999",
        "limit=x",
        "status=LOST",
        "cause=magic",
        "cursor=abc",
        f"cursor={OTHER_SPELLING}",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "since=0001-01-01T00:00:00Z",
        "q=",
        "q=" + "x" * 101,
        "sku=" + "x" * 65,
        "unknown=1",
        "limit=1&limit=2",
    ],
)
async def test_bad_search_is_a_clear_4xx(reader: Operator, query: str) -> None:
    reply = await reader.get(f"/orders?{query}")
    assert reply.status in {400, 422}, reply
    assert reply.code == "invalid_request"


async def test_cursor_of_another_search_is_refused(device: Device, reader: Operator) -> None:
    for _ in range(2):
        await device.previewed()
    page = await rows(reader, f"device={device.device_id}&limit=1")
    assert page.next_cursor
    reply = await reader.get(f"/orders?device={device.device_id}&status=PREVIEWED&cursor={page.next_cursor}")
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_bundle_tells_the_whole_order_without_an_address(
    gateway: RunningGateway, device: Device, reader: Operator
) -> None:
    await give_address(gateway, device)
    order_id = await completed(gateway, device)
    whole = await bundle(reader, order_id)
    assert (whole.order.status, whole.order.cause, whole.order.device_id) == ("COMPLETED", "picked", device.device_id)
    assert [one.to_status for one in whole.history] == ["PREVIEWED", "PROCESSING", "COMPLETED"]
    assert all(one.sequence > 0 and one.epoch > 0 for one in whole.history)
    assert {one.method for one in whole.calls} >= {"quote", "reserve_items", "assign_robots"}
    assert {one.outcome for one in whole.calls} == {"ok"}
    assert len(whole.webhooks) == 1
    assert whole.receipt is not None
    assert whole.inventory.state is not None
    assert "lacks InventoryOperationsService" in (whole.inventory.untold or "")
    assert whole.diagnosis.cause == "ended"
    raw = (await reader.get(f"/orders/{order_id}")).body.decode()
    assert "kitchen@" not in raw
    assert "5550100" not in raw
    assert device.token not in raw


async def test_order_in_doubt_is_explained_with_its_failed_call(
    gateway: RunningGateway, device: Device, reader: Operator
) -> None:
    order_id = await device.previewed()
    gateway.fake_inventory.abort_with["AssignRobots"] = StatusCode.UNAVAILABLE
    try:
        assert (await device.confirm(order_id)).status == 202

        async def is_stored() -> bool:
            calls = (await bundle(reader, order_id)).calls
            return any(one.outcome == "unavailable" and one.source == "stored" for one in calls)

        await until(is_stored, 5.0, 0.1)
        whole = await bundle(reader, order_id)
        assert whole.intent == "DISPATCH"
        assert [action.name for action in whole.diagnosis.actions] == ["retry_dispatch", "release"]
        await gateway.db.run(
            "UPDATE grocery_orders SET attention = 'inventory gives no clear answer' WHERE order_id = $1::text::uuid",
            order_id,
        )
        listed = msgspec.convert(await reader.read("/attention"), AttentionOut, strict=False)
        (item,) = [one for one in listed.data if one.id == order_id]
        assert (item.kind, item.cause) == ("order", "dispatch_unanswered")
        assert order_id in [str(row.order_id) for row in (await rows(reader, "attention=true")).data]
    finally:
        gateway.fake_inventory.clear_faults()
    await device.wait_for_status(order_id, "PROCESSING")
    attempts = [one.attempt for one in (await bundle(reader, order_id)).calls if one.method == "assign_robots"]
    assert attempts == list(range(1, len(attempts) + 1))
    assert len(attempts) > 1


async def test_silent_inventory_is_told_in_the_bundle(
    gateway: RunningGateway, device: Device, reader: Operator
) -> None:
    order_id = await device.previewed()
    gateway.fake_inventory.abort_with["GetOrder"] = StatusCode.UNAVAILABLE
    try:
        whole = await bundle(reader, order_id)
    finally:
        gateway.fake_inventory.clear_faults()
    assert whole.inventory.state is None
    assert whole.inventory.untold == "inventory gives no clear answer: unavailable"


async def test_missing_or_odd_order_is_not_found(reader: Operator) -> None:
    for name in ("018f0000-0000-7000-8000-00000000beef", "x", "%00", "1' OR '1'='1"):
        reply = await reader.get(f"/orders/{name}")
        assert reply.status in {400, 404}, reply


async def test_dead_receipt_asks_for_attention(gateway: RunningGateway, device: Device, reader: Operator) -> None:
    await give_address(gateway, device)
    order_id = await completed(gateway, device)
    kill = "UPDATE receipt_outbox SET dead_at = now(), last_error = 'bad_address' WHERE order_id = $1::text::uuid"
    await gateway.db.run(kill, order_id)
    listed: dict[str, Any] = await reader.read("/attention")
    (item,) = [one for one in listed["data"] if one["id"] == order_id]
    assert (item["kind"], item["cause"]) == ("receipt", "address_bad")
    assert [action["name"] for action in item["actions"]] == ["replay"]
    assert listed["total"] >= 1
    await gateway.db.run("UPDATE receipt_outbox SET dead_at = NULL WHERE order_id = $1::text::uuid", order_id)


async def test_invariants_are_checked_in_the_background(reader: Operator) -> None:
    async def is_checked() -> bool:
        return bool((await reader.read("/invariants"))["checked_at"])

    await until(is_checked, 10.0, 0.1)
    found = msgspec.convert(await reader.read("/invariants"), InvariantsOut, strict=False)
    assert found.data
    assert not [one for one in found.data if one.violations and not one.name.endswith("asks_for_attention")]
    assert "inventory" in found.untold


async def test_peers_are_up(reader: Operator) -> None:
    found = msgspec.convert(await reader.read("/peers"), PeersOut, strict=False)
    assert [peer.breaker for peer in found.data] == ["closed", "closed"]
