"""Preview, confirm and cancel over HTTP (docs/CONTRACT.md#confirm-and-cancel)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from autogrocery.kit.ids import uuid7
from tests.harness.running_gateway import CANCEL, CONFIRM, PREVIEW, Device, RunningGateway, serve_gateway, webhook_body
from tests.harness.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOWN = grpc.StatusCode.UNAVAILABLE
ORDER = {
    "order_id",
    "status",
    "currency",
    "total_cents",
    "quoted_total_cents",
    "items",
    "expires_at",
    "created_at",
    "confirmed_at",
    "finished_at",
    "outcome",
    "dispatch",
    "robots",
}
LINE = {"sku", "name", "quantity", "unit_price_cents", "line_total_cents", "picked"}


async def test_preview_returns_a_priced_quote(device: Device) -> None:
    reply = await device.preview(milk=2, bread=1)
    order = reply.json
    assert reply.status == 201
    assert order.keys() == ORDER
    assert [line.keys() for line in order["items"]] == [LINE, LINE]
    assert (order["status"], order["currency"], order["total_cents"]) == ("PREVIEWED", "USD", 2 * 129 + 249)
    assert (order["dispatch"], order["robots"], order["outcome"], order["confirmed_at"]) == (None, None, None, None)
    assert order["expires_at"].endswith("Z")


async def test_an_order_is_previewed_confirmed_and_completed_short(device: Device) -> None:
    order_id = await device.previewed(milk=2, bread=1)
    confirmed = await device.confirm(order_id)
    assert (confirmed.status, confirmed.json["status"], confirmed.json["dispatch"]) == (200, "PROCESSING", "dispatched")
    assert confirmed.json["robots"] == [
        {"robot_id": "r1", "robot_class": "dairy", "assignment_id": f"{order_id}-dairy"}
    ]
    reply = await device.gateway.send_webhook(
        webhook_body(order_id, items=[{"sku": "milk", "picked": 1}, {"sku": "bread", "picked": 1}])
    )
    assert reply.json == {"applied": True, "status": "COMPLETED"}
    order = await device.order(order_id)
    assert (order["status"], order["outcome"], order["total_cents"]) == ("COMPLETED", "PARTIAL", 129 + 249)
    assert order["quoted_total_cents"] == 2 * 129 + 249
    assert {line["sku"]: (line["picked"], line["line_total_cents"]) for line in order["items"]} == {
        "milk": (1, 129),
        "bread": (1, 249),
    }


async def test_lines_of_one_sku_are_merged_first(device: Device) -> None:
    items = [{"sku": "milk", "quantity": 1}, {"sku": "bread", "quantity": 1}, {"sku": "milk", "quantity": 2}]
    lines = (await device.post(PREVIEW, {"items": items})).json["items"]
    assert sorted((line["sku"], line["quantity"]) for line in lines) == [("bread", 1), ("milk", 3)]


BASKETS: dict[str, Any] = {
    "no items": {},
    "empty": {"items": []},
    "zero": {"items": [{"sku": "milk", "quantity": 0}]},
    "1000": {"items": [{"sku": "milk", "quantity": 1000}]},
    "negative": {"items": [{"sku": "milk", "quantity": -1}]},
    "half": {"items": [{"sku": "milk", "quantity": 0.5}]},
    "merged beyond 999": {"items": [{"sku": "milk", "quantity": 500}] * 2},
    "text": {"items": [{"sku": "milk", "quantity": "1"}]},
    "bool": {"items": [{"sku": "milk", "quantity": True}]},
    "no sku": {"items": [{"quantity": 1}]},
    "empty sku": {"items": [{"sku": "", "quantity": 1}]},
    "101 lines": {"items": [{"sku": f"s{n}", "quantity": 1} for n in range(101)]},
    "unknown field": {"items": [{"sku": "milk", "quantity": 1}], "price": 1},
    "price in a line": {"items": [{"sku": "milk", "quantity": 1, "unit_price_cents": 1}]},
    "NUL": {"items": [{"sku": "milk\0", "quantity": 1}]},
    "allow_partial a number": {"items": [{"sku": "milk", "quantity": 1}], "allow_partial": 1},
    "a list": [],
    "sku a number": {"items": [{"sku": 5, "quantity": 1}]},
}


@pytest.mark.parametrize("body", BASKETS.values(), ids=BASKETS.keys())
async def test_preview_with_an_invalid_body_returns_422(device: Device, body: Any) -> None:
    reply = await device.post(PREVIEW, body)
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_preview_accepts_100_lines_of_999(device: Device) -> None:
    items = [{"sku": f"s{n}", "quantity": 999} for n in range(99)] + [{"sku": "milk", "quantity": 999}]
    reply = await device.post(PREVIEW, {"items": items})
    assert (reply.status, reply.code) == (422, "unknown_sku")


@pytest.mark.parametrize("sku", ["ghost", "milk ", "MILK", "🥛", "' OR 1=1 --"])
async def test_preview_with_an_unknown_sku_returns_422_with_the_sku(device: Device, sku: str) -> None:
    reply = await device.preview(milk=1, **{sku: 1})
    assert (reply.status, reply.code) == (422, "unknown_sku")
    assert [error["sku"] for error in reply.json["errors"]] == [sku]


async def test_preview_beyond_stock_returns_409_with_the_available_units(device: Device) -> None:
    device.gateway.fake_inventory.stock["apple"] = 3
    reply = await device.preview(apple=4, milk=1)
    assert (reply.status, reply.code) == (409, "insufficient_stock")
    assert reply.json["errors"] == [{"sku": "apple", "requested": 4, "available": 3}]


async def test_allow_partial_grants_the_available_units(device: Device) -> None:
    device.gateway.fake_inventory.stock.update({"apple": -997, "bread": -1_000})
    order = (await device.preview(apple=4, milk=1, bread=1, partial=True)).json
    lines = {line["sku"]: (line["quantity"], line.get("requested")) for line in order["items"]}
    assert lines == {"apple": (3, 4), "milk": (1, None)}
    assert order["total_cents"] == 3 * 45 + 129


async def test_allow_partial_without_any_stock_returns_409(device: Device) -> None:
    device.gateway.fake_inventory.stock["bread"] = 0
    reply = await device.preview(bread=1, partial=True)
    assert (reply.status, reply.code) == (409, "insufficient_stock")


async def test_the_same_key_and_basket_replay_the_order(device: Device) -> None:
    first = await device.preview(key="k-1", milk=1)
    again = await device.preview(key="k-1", milk=1)
    assert (first.status, again.status) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.body == first.body


@pytest.mark.parametrize("change", [{"milk": 2}, {"bread": 1}, {"milk": 1, "partial": True}])
async def test_the_same_key_with_another_basket_returns_422(device: Device, change: dict[str, Any]) -> None:
    await device.preview(key="k-1", milk=1)
    reply = await device.preview(key="k-1", **change)
    assert (reply.status, reply.code) == (422, "idempotency_mismatch")


async def test_two_devices_may_use_the_same_key(device: Device) -> None:
    other = await device.gateway.device()
    one, two = await device.preview(key="shared", milk=1), await other.preview(key="shared", bread=1)
    assert (one.status, two.status) == (201, 201)
    assert one.json["order_id"] != two.json["order_id"]


async def test_twenty_concurrent_previews_with_one_key_make_one_order(device: Device) -> None:
    replies = await asyncio.gather(*(device.preview(key="rush", milk=1) for _ in range(20)))
    assert {reply.status for reply in replies} <= {201, 503}
    assert len({reply.json["order_id"] for reply in replies if reply.status == 201}) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
async def test_an_invalid_key_returns_422(device: Device, key: str) -> None:
    body = {"items": [{"sku": "milk", "quantity": 1}]}
    reply = await device.post(PREVIEW, body, headers={"idempotency-key": key})
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_preview_without_pricing_returns_503(device: Device) -> None:
    device.gateway.fake_pricing.abort_with = DOWN
    reply = await device.preview()
    assert (reply.status, reply.code) == (503, "pricing_unavailable")


async def test_preview_without_inventory_returns_503(device: Device) -> None:
    device.gateway.fake_inventory.abort_with = {"ReserveItems": DOWN}
    reply = await device.preview()
    assert (reply.status, reply.code) == (503, "inventory_unavailable")


@pytest.mark.parametrize("path", [CONFIRM, CANCEL])
@pytest.mark.parametrize(
    "order_id",
    [
        "",
        "x",
        5,
        None,
        "{018f0000-0000-7000-8000-000000000000}",
        "urn:uuid:018f0000-0000-7000-8000-000000000000",
        ["a"],
    ],
)
async def test_an_order_id_that_is_no_uuid_in_a_body_returns_422(device: Device, path: str, order_id: Any) -> None:
    reply = await device.post(path, {"order_id": order_id})
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert reply.json["errors"][0]["pointer"] == "/order_id"


@pytest.mark.parametrize("path", [CONFIRM, CANCEL])
async def test_another_devices_order_returns_the_same_404_as_a_missing_one(device: Device, path: str) -> None:
    order_id = await (await device.gateway.device()).previewed()
    same = {"x-request-id": "same"}
    foreign, missing = [await device.post(path, {"order_id": one}, headers=same) for one in (order_id, str(uuid7()))]
    assert (foreign.status, foreign.code) == (404, "order_not_found")
    assert foreign.body == missing.body
    assert foreign.headers.keys() == missing.headers.keys()


async def test_eight_concurrent_confirms_dispatch_once(device: Device) -> None:
    order_id = await device.previewed()
    replies = await asyncio.gather(*(device.confirm(order_id) for _ in range(8)))
    assert {(reply.status, reply.json["status"]) for reply in replies} == {(200, "PROCESSING")}
    assert device.gateway.fake_inventory.dispatches[order_id] == 1


async def test_an_order_without_robots_fails_with_409_and_cannot_be_cancelled(device: Device) -> None:
    order_id, device.gateway.fake_inventory.refuse_robots = await device.previewed(), True
    for _ in range(2):
        reply = await device.confirm(order_id)
        assert (reply.status, reply.code) == (409, "no_robots")
    late = await device.cancel(order_id)
    assert (late.status, late.code) == (409, "too_late_to_cancel")
    order = await device.order(order_id)
    assert (order["status"], order["total_cents"], order["dispatch"]) == ("FAILED", 0, None)


async def test_a_cancelled_quote_cannot_be_confirmed(device: Device) -> None:
    order_id = await device.previewed()
    for _ in range(2):
        reply = await device.cancel(order_id)
        assert (reply.status, reply.json["status"]) == (200, "CANCELLED")
    late = await device.confirm(order_id)
    assert (late.status, late.code) == (409, "order_cancelled")


async def test_cancel_before_picking_returns_200(device: Device) -> None:
    order_id = await device.processing()
    reply = await device.cancel(order_id)
    assert (reply.status, reply.json["status"], reply.json["robots"]) == (200, "CANCELLED", None)


async def test_cancel_after_picking_has_started_returns_409(device: Device) -> None:
    order_id = await device.processing()
    device.gateway.fake_inventory.started.add(order_id)
    reply = await device.cancel(order_id)
    assert (reply.status, reply.code) == (409, "too_late_to_cancel")
    assert (await device.confirm(order_id)).status == 200


@pytest.mark.parametrize(("status", "total_cents"), [("COMPLETED", 258), ("FAILED", 0)])
async def test_an_ended_order_confirms_with_200_and_cancels_with_409(
    device: Device, status: str, total_cents: int
) -> None:
    order_id = await device.processing()
    assert (await device.gateway.send_webhook(webhook_body(order_id, status))).status == 200
    confirmed, cancelled = await device.confirm(order_id), await device.cancel(order_id)
    assert (confirmed.status, confirmed.json["status"], confirmed.json["total_cents"]) == (200, status, total_cents)
    assert (cancelled.status, cancelled.code) == (409, "too_late_to_cancel")


@pytest.mark.parametrize("verb", ["confirm", "cancel"])
async def test_an_overdue_quote_returns_410_before_and_after_it_is_expired(module_dsn: str, verb: str) -> None:
    due = "UPDATE grocery_orders SET due_at = now() + $2 * interval '1 second' WHERE order_id = $1"
    async with serve_gateway(module_dsn, PREVIEW_TTL_S="1") as gateway:
        device = await gateway.device()
        order_id = await device.previewed()
        await gateway.db.run(due, order_id, 60)
        await asyncio.sleep(1.0)  # the gateway may have the quote in memory, and then compares with its own clock
        at_once = await getattr(device, verb)(order_id)
        assert (await device.get(f"/api/client/orders/{order_id}")).json["status"] == "PREVIEWED"
        await gateway.db.run(due, order_id, 0)
        await device.wait_for_status(order_id, "EXPIRED")
        later = await getattr(device, verb)(order_id)
    assert [(reply.status, reply.code) for reply in (at_once, later)] == [(410, "hold_expired")] * 2


async def test_a_confirm_whose_client_disconnects_is_dispatched(device: Device) -> None:
    order_id, fake_inventory = await device.previewed(), device.gateway.fake_inventory
    fake_inventory.gate, calls = asyncio.Event(), fake_inventory.calls["AssignRobots"]
    asking = asyncio.create_task(device.confirm(order_id))
    await until(lambda: fake_inventory.calls["AssignRobots"] > calls)
    asking.cancel()
    await asyncio.wait([asking])
    fake_inventory.gate.set()
    await device.wait_for_status(order_id, "PROCESSING")
    assert fake_inventory.dispatches[order_id] == 1


async def test_quotes_beyond_the_quota_are_cancelled_oldest_first(device: Device) -> None:
    first, *_ = [await device.previewed(milk=1) for _ in range(4)]
    await device.wait_for_status(first, "CANCELLED")
    assert (await device.confirm(first)).code == "order_cancelled"


async def test_the_row_has_the_status_of_the_response(gateway: RunningGateway, device: Device) -> None:
    order_id = await device.processing(apple=1)
    row = await gateway.db.row("SELECT user_id, status FROM grocery_orders WHERE order_id = $1", order_id)
    assert row is not None
    assert (row["user_id"], row["status"]) == (device.user_id, "PROCESSING")
