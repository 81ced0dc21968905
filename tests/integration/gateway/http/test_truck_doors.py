"""Trucks at the public door, and inventory's word about their deliveries at the internal one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio

from autogrocery.kit.process.clock import now, uuid7
from tests.harness.fake_depot import TODAY, add_truck
from tests.harness.running_gateway import Device, Reply, Shop, picked

if TYPE_CHECKING:
    from datetime import date

pytestmark = pytest.mark.asyncio(loop_scope="module")
RESTOCK, STATUS, WEBHOOK = "/api/truck/restock", "/api/truck/restock/status", "/internal/webhook/update-restock"
SCOPES = ("restock:write", "restock:read")


def day(days: int) -> str:
    at: date = TODAY + timedelta(days=days)
    return at.isoformat()


def line(**changes: Any) -> dict[str, Any]:
    return {
        "sku": "milk",
        "name": "Milk",
        "aisle_type": "dairy",
        "quantity": 20,
        "mfd_date": day(-1),
        "expiry_date": day(9),
        "unit_cost_cents": 90,
    } | changes


def body(supplier_id: str, *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = {"supplier_id": supplier_id, "supplier_name": "Acme", "manifest_no": "m-1", "items": lines or (line(),)}
    return {name: value for name, value in (found | changes).items() if value is not None}


async def truck_of(shop: Shop, supplier_id: str) -> Device:
    user_id = await add_truck(shop.db, supplier_id)
    return Device(shop, user_id, supplier_id, shop.token(user_id, f"truck-{user_id}", scopes=SCOPES))


@pytest_asyncio.fixture(loop_scope="module")
async def truck(shop: Shop) -> Device:
    """A truck of a supplier of its own, which stands in its device_id."""
    shop.shelf.refuse_restocks = ""
    return await truck_of(shop, f"acme-{uuid7().hex}")


async def restock(truck: Device, *lines: dict[str, Any], key: str | None = None, **changes: Any) -> Reply:
    headers = {"idempotency-key": key} if key else {}
    return await truck.post(RESTOCK, body(truck.device_id, *lines, **changes), headers=headers)


async def status(truck: Device, order_id: str) -> Reply:
    return await truck.get(f"{STATUS}?order_id={order_id}")


def tell(order_id: str, status: str, **counts: int) -> dict[str, Any]:
    items = [{"sku": sku, "received": n} for sku, n in counts.items()]
    return picked(order_id, status, items=items)


async def test_a_delivery_is_announced_followed_and_received(truck: Device) -> None:
    made = await restock(truck)
    assert (made.status, made.json["status"], made.json["dispatch"]) == (201, "RECEIVING", "dispatched")
    order_id = made.json["order_id"]
    shop = truck.shop
    assert (await shop.deliver(tell(order_id, "RECEIVING", milk=7), path=WEBHOOK)).json == {
        "applied": True,
        "status": "RECEIVING",
    }
    assert (await shop.deliver(tell(order_id, "RECEIVED", milk=21), path=WEBHOOK)).json == {
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


async def test_a_key_says_that_it_was_replayed(truck: Device) -> None:
    for replayed in (None, "true", "true"):
        reply = await restock(truck, manifest_no=None, key="k")
        assert reply.status == (200 if replayed else 201)
        assert reply.headers.get("idempotency-replayed") == replayed
    assert (await restock(truck, line(quantity=1), manifest_no=None, key="k")).code == "idempotency_mismatch"
    assert (await restock(truck, manifest_no=None)).code == "idempotency_key_required"


async def test_in_doubt_is_202_with_where_and_when_to_look(truck: Device) -> None:
    truck.shop.shelf.trouble = {"RestockItems": grpc.StatusCode.UNAVAILABLE}
    doubtful = await restock(truck)
    assert (doubtful.status, doubtful.json["status"], doubtful.json["dispatch"]) == (202, "ANNOUNCED", "in_doubt")
    assert doubtful.headers["retry-after"] == "1"
    assert (await truck.get(doubtful.headers["location"])).json == doubtful.json
    truck.shop.shelf.trouble = {}
    assert (await restock(truck)).json["status"] == "RECEIVING"


async def test_a_refused_delivery_is_409_whoever_asks_again(truck: Device) -> None:
    truck.shop.shelf.refuse_restocks = "milk stands in another aisle"
    for _ in range(2):
        refused = await restock(truck)
        assert (refused.status, refused.code) == (409, "restock_refused")
        assert "another aisle" in refused.json["detail"]


async def test_other_goods_under_one_manifest_number_are_422(truck: Device) -> None:
    await restock(truck)
    for changed in (
        {"supplier_name": "Acme Inc"},
        {"items": [line(unit_cost_cents=91)]},
        {"items": [line(expiry_date=day(8))]},
    ):
        assert (await restock(truck, **changed)).code == "manifest_mismatch"  # type: ignore[arg-type]


async def test_another_supplier_is_403_for_a_truck(truck: Device) -> None:
    reply = await truck.post(RESTOCK, body("zenith"))
    assert (reply.status, reply.code) == (403, "foreign_supplier")


async def test_foreign_and_missing_are_the_same_to_the_byte(truck: Device) -> None:
    order_id = (await restock(truck)).json["order_id"]
    rival = await truck_of(truck.shop, f"rival-{uuid7().hex}")
    foreign, missing = await status(rival, order_id), await status(rival, str(uuid7()))
    assert foreign.status == missing.status == 404
    assert foreign.body.replace(foreign.headers["x-request-id"].encode(), b"") == missing.body.replace(
        missing.headers["x-request-id"].encode(), b""
    )
    for query in ("", "?order_id=", "?order_id=nonsense", f"?order_id={order_id}&more=1"):
        assert (await truck.get(STATUS + query)).code == "invalid_request"


async def test_devices_and_strangers_do_not_restock_and_trucks_do_not_shop(truck: Device, device: Device) -> None:
    assert (await device.post(RESTOCK, body("acme"))).code == "insufficient_scope"
    assert (await device.get(f"{STATUS}?order_id={uuid7()}")).code == "insufficient_scope"
    assert (await truck.shop.ask("POST", RESTOCK, body("acme"))).code == "invalid_token"
    assert (await truck.preview()).code == "insufficient_scope"


ABSURD: list[tuple[str, dict[str, Any]]] = [
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


@pytest.mark.parametrize(("code", "changes"), ABSURD)
async def test_bad_goods_are_refused_with_a_pointer_and_nothing_is_half_applied(
    truck: Device, code: str, changes: dict[str, Any]
) -> None:
    shelf, calls = truck.shop.shelf, truck.shop.shelf.calls["RestockItems"]
    reply = await restock(truck, line(sku="bread"), line(**changes))
    assert (reply.status, reply.code) == (422, code)
    (field, *_) = [name for name in changes if name != "mfd_date"] or ["mfd_date"]
    assert reply.json["errors"][0]["pointer"].startswith(f"/items/1/{field}")
    assert shelf.calls["RestockItems"] == calls
    row = await truck.shop.db.row(
        "SELECT count(*) AS found FROM restock_orders WHERE supplier_id = $1", truck.device_id
    )
    assert row is not None
    assert row["found"] == 0


async def test_a_sku_in_two_lines_is_refused_and_so_are_too_many_lines_or_none(truck: Device) -> None:
    twice = await restock(truck, line(), line(sku="bread"), line(expiry_date=day(3)))
    assert (twice.code, twice.json["errors"]) == ("duplicate_sku", [{"pointer": "/items/2/sku"}])
    assert (await restock(truck, items=[])).code == "invalid_request"
    short = [{**line(sku=f"s{n}", name="n"), "unit_cost_cents": 1} for n in range(501)]
    assert (await restock(truck, items=short)).status in {413, 422}
    assert (await restock(truck, items=short[:400], manifest_no="m-2")).status == 201
    for changed in ({"supplier_name": "\t"}, {"manifest_no": "a\u2028b"}, {"manifest_no": ""}, {"supplier_name": ""}):
        assert (await restock(truck, **changed)).code == "invalid_request"  # type: ignore[arg-type]


async def test_the_largest_delivery_fits_every_sum(truck: Device) -> None:
    most = [line(sku=f"s{n}", name="n", quantity=1_000_000, unit_cost_cents=10**9) for n in range(300)]
    assert (await restock(truck, items=most)).status == 201


async def test_a_webhook_that_is_unsigned_foreign_or_nonsense_changes_nothing(truck: Device) -> None:
    shop, order_id = truck.shop, (await restock(truck)).json["order_id"]
    good = tell(order_id, "RECEIVED", milk=20)
    assert (await shop.deliver(good, path=WEBHOOK, signature=" ")).code == "invalid_signature"
    assert (await shop.deliver(good, path=WEBHOOK, at=now() - timedelta(seconds=302))).code == "invalid_signature"
    assert (await shop.deliver(tell(str(uuid7()), "RECEIVED"), path=WEBHOOK)).code == "order_not_found"
    for nonsense in (
        tell(order_id, "ANNOUNCED"),
        tell(order_id, "RECEIVED", milk=-1),
        tell(order_id, "RECEIVED", milk=2**31),
        tell(order_id, "RECEIVED", caviar=1),
        good | {"items": good["items"] * 2},
        {"order_id": order_id, "status": "RECEIVED"},
        good | {"order_id": "x"},
    ):
        assert (await shop.deliver(nonsense, path=WEBHOOK)).code == "invalid_request"
    assert (await shop.ask("POST", WEBHOOK, good)).code == "not_found"  # the public listener has no such door
    assert (await status(truck, order_id)).json["status"] == "RECEIVING"


async def test_a_webhook_is_answered_alike_however_often_it_comes(truck: Device) -> None:
    shop, order_id = truck.shop, (await restock(truck)).json["order_id"]
    told = tell(order_id, "RECEIVED", milk=20)
    answers = [(await shop.deliver(told, path=WEBHOOK, webhook_id="msg_1")).json for _ in range(2)]
    assert answers == [{"applied": True, "status": "RECEIVED"}, {"applied": False, "status": "RECEIVED"}]
    differs = await shop.deliver(tell(order_id, "RECEIVED", milk=19), path=WEBHOOK, webhook_id="msg_1")
    assert (differs.status, differs.code) == (409, "webhook_differs")
    late = await shop.deliver(tell(order_id, "RECEIVING", milk=3), path=WEBHOOK)
    assert late.json == {"applied": False, "status": "RECEIVED"}


async def test_status_says_what_is_owed(truck: Device) -> None:
    truck.shop.shelf.trouble = {"RestockItems": grpc.StatusCode.UNAVAILABLE}
    await restock(truck)
    told = (await truck.shop.ask("GET", "/status", inside=True)).json["restocks"]
    assert told["owed"] >= 1
    assert told["announced"] >= 1
    truck.shop.shelf.trouble = {}
