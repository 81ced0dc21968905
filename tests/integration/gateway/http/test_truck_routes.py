"""The truck routes of the public listener, and the update-restock webhook of the internal one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio

from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from tests.harness.running_gateway import Device, RunningGateway, webhook_body
from tests.harness.truck_requests import RESTOCK, STATUS, add_truck_device, body, day, line, restock, status

pytestmark = pytest.mark.asyncio(loop_scope="module")
WEBHOOK = "/internal/webhook/update-restock"


@pytest_asyncio.fixture(loop_scope="module")
async def truck(gateway: RunningGateway) -> Device:
    """A truck of a new supplier; its `device_id` is the supplier_id."""
    gateway.fake_inventory.refuse_restocks = ""
    return await add_truck_device(gateway, f"acme-{uuid7().hex}")


def restock_webhook_body(order_id: str, status: str, **counts: int) -> dict[str, Any]:
    items = [{"sku": sku, "received": n} for sku, n in counts.items()]
    return webhook_body(order_id, status, items=items)


async def test_a_restock_is_announced_updated_and_received(truck: Device) -> None:
    made = await restock(truck)
    assert (made.status, made.json["status"], made.json["dispatch"]) == (201, "RECEIVING", "dispatched")
    order_id = made.json["order_id"]
    gateway = truck.gateway
    assert (await gateway.send_webhook(restock_webhook_body(order_id, "RECEIVING", milk=7), path=WEBHOOK)).json == {
        "applied": True,
        "status": "RECEIVING",
    }
    assert (await gateway.send_webhook(restock_webhook_body(order_id, "RECEIVED", milk=21), path=WEBHOOK)).json == {
        "applied": True,
        "status": "RECEIVED",
    }
    found = (await status(truck, order_id)).json
    assert found["items"] == [
        {
            "sku": "milk",
            "name": "Milk",
            "aisle_type": "dairy",
            "quantity": 20,
            "received": 21,
            "short": 0,
            "over": 1,
            "damaged": 0,
        }
    ]
    assert found["finished_at"]
    again = await restock(truck)
    assert (again.status, again.json) == (200, found)


async def test_a_repeated_key_replays_the_restock(truck: Device) -> None:
    for replayed in (None, "true", "true"):
        reply = await restock(truck, manifest_no=None, key="k")
        assert reply.status == (200 if replayed else 201)
        assert reply.headers.get("idempotency-replayed") == replayed
    assert (await restock(truck, line(quantity=1), manifest_no=None, key="k")).code == "idempotency_mismatch"
    assert (await restock(truck, manifest_no=None)).code == "idempotency_key_required"


async def test_a_restock_in_doubt_returns_202_with_location_and_retry_after(truck: Device) -> None:
    truck.gateway.fake_inventory.abort_with = {"RestockItems": grpc.StatusCode.UNAVAILABLE}
    doubtful = await restock(truck)
    assert (doubtful.status, doubtful.json["status"], doubtful.json["dispatch"]) == (202, "ANNOUNCED", "in_doubt")
    assert doubtful.headers["retry-after"] == "1"
    assert (await truck.get(doubtful.headers["location"])).json == doubtful.json
    truck.gateway.fake_inventory.abort_with = {}
    assert (await restock(truck)).json["status"] == "RECEIVING"


async def test_a_refused_restock_returns_409_every_time(truck: Device) -> None:
    truck.gateway.fake_inventory.refuse_restocks = "milk stands in another aisle"
    for _ in range(2):
        refused = await restock(truck)
        assert (refused.status, refused.code) == (409, "restock_refused")
        assert "another aisle" in refused.json["detail"]


async def test_other_goods_under_one_manifest_number_return_422(truck: Device) -> None:
    await restock(truck)
    for changed in (
        {"supplier_name": "Acme Inc"},
        {"items": [line(unit_cost_cents=91)]},
        {"items": [line(expiry_date=day(8))]},
    ):
        assert (await restock(truck, **changed)).code == "manifest_mismatch"  # type: ignore[arg-type]


async def test_a_restock_for_another_supplier_returns_403(truck: Device) -> None:
    reply = await truck.post(RESTOCK, body("zenith"))
    assert (reply.status, reply.code) == (403, "foreign_supplier")


async def test_another_trucks_restock_and_a_missing_one_return_the_same_bytes(truck: Device) -> None:
    order_id = (await restock(truck)).json["order_id"]
    rival = await add_truck_device(truck.gateway, f"rival-{uuid7().hex}")
    foreign, missing = await status(rival, order_id), await status(rival, str(uuid7()))
    assert foreign.status == missing.status == 404
    assert foreign.body.replace(foreign.headers["x-request-id"].encode(), b"") == missing.body.replace(
        missing.headers["x-request-id"].encode(), b""
    )
    for query in ("", "?order_id=", "?order_id=nonsense", f"?order_id={order_id}&more=1"):
        assert (await truck.get(STATUS + query)).code == "invalid_request"


async def test_only_trucks_may_restock_and_only_devices_may_order(truck: Device, device: Device) -> None:
    assert (await device.post(RESTOCK, body("acme"))).code == "insufficient_scope"
    assert (await device.get(f"{STATUS}?order_id={uuid7()}")).code == "insufficient_scope"
    assert (await truck.gateway.request("POST", RESTOCK, body("acme"))).code == "invalid_token"
    assert (await truck.preview()).code == "insufficient_scope"


INVALID: list[tuple[str, dict[str, Any]]] = [
    *(("invalid_request", {"quantity": n}) for n in (0, -1, 1_000_001, 2**31, 2**63, 10**30, 1.5, "1", None)),
    *(("invalid_request", {"unit_cost_cents": n}) for n in (0, -1, 10**9 + 1, 2**63, None)),
    *(("invalid_request", {"mfd_date": text}) for text in ("2026-02-30", "yesterday", "2026-1-1", "", 0, "0000-01-01")),
    ("invalid_request", {"aisle_type": "fish"}),
    ("invalid_request", {"sku": ""}),
    ("invalid_request", {"sku": "x" * 65}),
    ("invalid_request", {"sku": "mi\nlk"}),
    ("invalid_request", {"name": " "}),
    ("invalid_request", {"name": "x" * 201}),
    ("invalid_request", {"colour": "white"}),
    ("invalid_dates", {"mfd_date": day(10)}),
    ("invalid_dates", {"mfd_date": day(5)}),
    ("invalid_dates", {"mfd_date": "1066-10-14"}),
    ("invalid_dates", {"expiry_date": "9999-12-31"}),
    ("invalid_dates", {"mfd_date": day(-1), "expiry_date": day(-2)}),
    ("expired_goods", {"mfd_date": day(-9), "expiry_date": day(-1)}),
    ("expired_goods", {"mfd_date": day(-9), "expiry_date": day(0)}),
]


@pytest.mark.parametrize(("code", "changes"), INVALID)
async def test_invalid_goods_return_422_with_a_pointer_and_write_nothing(
    truck: Device, code: str, changes: dict[str, Any]
) -> None:
    fake_inventory, calls = truck.gateway.fake_inventory, truck.gateway.fake_inventory.calls["RestockItems"]
    reply = await restock(truck, line(sku="bread"), line(**changes))
    assert (reply.status, reply.code) == (422, code)
    (field, *_) = [name for name in changes if name != "mfd_date"] or ["mfd_date"]
    assert reply.json["errors"][0]["pointer"].startswith(f"/items/1/{field}")
    assert fake_inventory.calls["RestockItems"] == calls
    row = await truck.gateway.db.row(
        "SELECT count(*) AS found FROM restock_orders WHERE supplier_id = $1", truck.device_id
    )
    assert row is not None
    assert row["found"] == 0


async def test_a_duplicate_sku_too_many_lines_or_none_return_422(truck: Device) -> None:
    twice = await restock(truck, line(), line(sku="bread"), line(expiry_date=day(3)))
    assert (twice.code, twice.json["errors"]) == ("duplicate_sku", [{"pointer": "/items/2/sku"}])
    assert (await restock(truck, items=[])).code == "invalid_request"
    short = [{**line(sku=f"s{n}", name="n"), "unit_cost_cents": 1} for n in range(501)]
    assert (await restock(truck, items=short)).status in {413, 422}
    assert (await restock(truck, items=short[:400], manifest_no="m-2")).status == 201
    for changed in ({"supplier_name": "\t"}, {"manifest_no": "a\u2028b"}, {"manifest_no": ""}, {"supplier_name": ""}):
        assert (await restock(truck, **changed)).code == "invalid_request"  # type: ignore[arg-type]


async def test_the_largest_restock_fits_every_sum(truck: Device) -> None:
    most = [line(sku=f"s{n}", name="n", quantity=1_000_000, unit_cost_cents=10**9) for n in range(300)]
    assert (await restock(truck, items=most)).status == 201


async def test_an_unsigned_or_invalid_restock_webhook_changes_nothing(truck: Device) -> None:
    gateway, order_id = truck.gateway, (await restock(truck)).json["order_id"]
    good = restock_webhook_body(order_id, "RECEIVED", milk=20)
    assert (await gateway.send_webhook(good, path=WEBHOOK, signature=" ")).code == "invalid_signature"
    assert (
        await gateway.send_webhook(good, path=WEBHOOK, at=now() - timedelta(seconds=302))
    ).code == "invalid_signature"
    assert (
        await gateway.send_webhook(restock_webhook_body(str(uuid7()), "RECEIVED"), path=WEBHOOK)
    ).code == "order_not_found"
    for nonsense in (
        restock_webhook_body(order_id, "ANNOUNCED"),
        restock_webhook_body(order_id, "RECEIVED", milk=-1),
        restock_webhook_body(order_id, "RECEIVED", milk=2**31),
        restock_webhook_body(order_id, "RECEIVED", caviar=1),
        good | {"items": good["items"] * 2},
        {"order_id": order_id, "status": "RECEIVED"},
        good | {"order_id": "x"},
    ):
        assert (await gateway.send_webhook(nonsense, path=WEBHOOK)).code == "invalid_request"
    assert (await gateway.request("POST", WEBHOOK, good)).code == "not_found"  # the public listener has no such route
    assert (await status(truck, order_id)).json["status"] == "RECEIVING"


async def test_a_repeated_restock_webhook_is_not_applied_again(truck: Device) -> None:
    gateway, order_id = truck.gateway, (await restock(truck)).json["order_id"]
    report = restock_webhook_body(order_id, "RECEIVED", milk=20)
    answers = [(await gateway.send_webhook(report, path=WEBHOOK, webhook_id="msg_1")).json for _ in range(2)]
    assert answers == [{"applied": True, "status": "RECEIVED"}, {"applied": False, "status": "RECEIVED"}]
    differs = await gateway.send_webhook(
        restock_webhook_body(order_id, "RECEIVED", milk=19), path=WEBHOOK, webhook_id="msg_1"
    )
    assert (differs.status, differs.code) == (409, "webhook_differs")
    late = await gateway.send_webhook(restock_webhook_body(order_id, "RECEIVING", milk=3), path=WEBHOOK)
    assert late.json == {"applied": False, "status": "RECEIVED"}


async def test_status_counts_owed_restocks(truck: Device) -> None:
    truck.gateway.fake_inventory.abort_with = {"RestockItems": grpc.StatusCode.UNAVAILABLE}
    await restock(truck)
    counts = (await truck.gateway.request("GET", "/status", inside=True)).json["restocks"]
    assert counts["owed"] >= 1
    assert counts["announced"] >= 1
    truck.gateway.fake_inventory.abort_with = {}


async def test_a_webhook_with_more_damaged_than_received_returns_422(truck: Device) -> None:
    order_id = (await restock(truck)).json["order_id"]
    items = [{"sku": "milk", "received": 3, "damaged": 4}]
    reply = await truck.gateway.send_webhook(webhook_body(order_id, "RECEIVING", items=items), path=WEBHOOK)
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert (await status(truck, order_id)).json["items"][0]["received"] == 0
