"""The update-order webhook over HTTP: applied once, if its signature is valid."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import grpc
import pytest
from standardwebhooks import Webhook

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from tests.harness.running_gateway import WEBHOOK, WEBHOOK_KEYS, Device, RunningGateway, webhook_body

pytestmark = pytest.mark.asyncio(loop_scope="module")
FOREIGN = "whsec_" + base64.b64encode(b"z" * 32).decode()


async def test_a_webhook_signed_with_any_current_secret_is_applied(device: Device) -> None:
    for key in WEBHOOK_KEYS:
        order_id = await device.processing()
        assert (await device.gateway.send_webhook(webhook_body(order_id), key=key)).json == {
            "applied": True,
            "status": "COMPLETED",
        }


async def test_one_valid_signature_in_a_list_is_enough(device: Device) -> None:
    body, at = webhook_body(await device.processing()), now()
    good, bad = [Webhook(key).sign("msg_list", at, json.dumps(body)) for key in (WEBHOOK_KEYS[1], FOREIGN)]
    reply = await device.gateway.send_webhook(body, webhook_id="msg_list", at=at, signature=f"{bad} v1a,x {good}")
    assert reply.status == 200


FORGERIES: dict[str, dict[str, Any]] = {
    "another key": {"key": FOREIGN},
    "no signature": {"signature": " "},
    "another version": {"signature": "v2,AAAA"},
    "nonsense": {"signature": "v1,%%%"},
    "changed body": {"sent": "{}"},
    "an empty body": {"sent": ""},
    "one more blank": {"sent": " {}"},
    "301 s old": {"at": timedelta(seconds=-302)},
    "301 s ahead": {"at": timedelta(seconds=302)},
    "1970": {"at": timedelta(days=-20_000)},
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_webhook_returns_401_and_changes_nothing(device: Device, forgery: dict[str, Any]) -> None:
    order_id = await device.processing()
    named = forgery | ({"at": now() + forgery["at"]} if "at" in forgery else {})
    reply = await device.gateway.send_webhook(webhook_body(order_id), **named)
    assert (reply.status, reply.code) == (401, "invalid_signature")
    assert (await device.order(order_id))["status"] == "PROCESSING"


async def test_a_signature_for_another_webhook_id_returns_401(device: Device) -> None:
    body, at = webhook_body(await device.processing()), now()
    signature = Webhook(WEBHOOK_KEYS[0]).sign("msg_a", at, json.dumps(body))
    assert (
        await device.gateway.send_webhook(body, webhook_id="msg_b", at=at, signature=signature)
    ).code == "invalid_signature"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_a_webhook_without_one_of_its_headers_returns_401(device: Device, missing: str) -> None:
    text, at = json.dumps(webhook_body(await device.processing())), now()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(WEBHOOK_KEYS[0]).sign("msg_1", at, text),
    }
    del headers[missing]
    reply = await device.gateway.request("POST", WEBHOOK, raw=text.encode(), headers=headers, inside=True)
    assert (reply.status, reply.code) == (401, "invalid_signature")


async def test_a_device_token_instead_of_a_signature_returns_401(device: Device) -> None:
    body = webhook_body(await device.processing())
    reply = await device.gateway.request("POST", WEBHOOK, body, token=device.token, inside=True)
    assert (reply.status, reply.code) == (401, "invalid_signature")


async def test_the_signature_is_checked_before_the_body(gateway: RunningGateway) -> None:
    for raw in (b"", b"nonsense", b"{}", b'{"order_id":"x"}'):
        assert (await gateway.request("POST", WEBHOOK, raw=raw, inside=True)).code == "invalid_signature"


async def test_a_repeated_webhook_is_not_applied_again(device: Device) -> None:
    body = webhook_body(await device.processing())
    first, again = [await device.gateway.send_webhook(body, webhook_id=body["order_id"]) for _ in range(2)]
    assert (first.json["applied"], again.json["applied"]) == (True, False)
    assert (again.status, again.json["status"]) == (200, "COMPLETED")


async def test_a_repeated_webhook_id_with_another_body_returns_409(device: Device) -> None:
    order_id = await device.processing()
    await device.gateway.send_webhook(webhook_body(order_id), webhook_id=order_id)
    reply = await device.gateway.send_webhook(webhook_body(order_id, "FAILED"), webhook_id=order_id)
    assert (reply.status, reply.code) == (409, "webhook_differs")
    assert (await device.order(order_id))["status"] == "COMPLETED"


async def test_a_webhook_for_an_ended_order_returns_200_and_changes_nothing(device: Device) -> None:
    order_id = await device.processing()
    await device.gateway.send_webhook(webhook_body(order_id, "FAILED"))
    reply = await device.gateway.send_webhook(webhook_body(order_id))
    assert (reply.status, reply.json) == (200, {"applied": False, "status": "FAILED"})


async def test_webhook_for_unknown_order_returns_404(gateway: RunningGateway) -> None:
    reply = await gateway.send_webhook(webhook_body(str(uuid7())))
    assert (reply.status, reply.code) == (404, "order_not_found")


async def test_webhook_for_an_undispatched_order_returns_409_and_is_not_remembered(device: Device) -> None:
    order_id = await device.previewed()
    body = webhook_body(order_id)
    for _ in range(2):
        reply = await device.gateway.send_webhook(body, webhook_id=order_id)
        assert (reply.status, reply.code) == (409, "not_dispatched")
    assert (await device.confirm(order_id)).status == 200
    assert (await device.gateway.send_webhook(body, webhook_id=order_id)).json["applied"]


async def test_webhook_before_the_confirm_is_applied_if_inventory_agrees(device: Device) -> None:
    order_id = await device.previewed()
    device.gateway.fake_inventory.state[order_id] = inv.GetOrderResponse.COMPLETED
    assert (await device.gateway.send_webhook(webhook_body(order_id))).json == {"applied": True, "status": "COMPLETED"}
    events = (await device.get(f"/api/client/orders/{order_id}/events")).json["data"]
    assert [event["to"] for event in events] == ["PREVIEWED", "PROCESSING", "COMPLETED"]


async def test_webhook_that_cannot_be_checked_with_inventory_returns_503(device: Device) -> None:
    order_id = await device.previewed()
    device.gateway.fake_inventory.abort_with = {"GetOrder": grpc.StatusCode.UNAVAILABLE}
    reply = await device.gateway.send_webhook(webhook_body(order_id))
    assert (reply.status, reply.code) == (503, "inventory_unavailable")


MISSHAPEN: dict[str, Any] = {
    "no status": {"status": ...},
    "another status": {"status": "CANCELLED"},
    "unknown field": {"total_cents": 1},
    "no time": {"occurred_at": ...},
    "time without zone": {"occurred_at": "2026-01-01T00:00:00"},
    "negative": {"items": [{"sku": "milk", "picked": -1}]},
    "order no uuid": {"order_id": "x"},
    "more than ordered": {"items": [{"sku": "milk", "picked": 3}]},
    "another sku": {"items": [{"sku": "bread", "picked": 1}]},
    "NUL": {"reason": "\0"},
    "a count beyond 32 bits": {"items": [{"sku": "milk", "picked": 1 << 31}]},
    "huge": {"items": [{"sku": "milk", "picked": 10**30}]},
}


@pytest.mark.parametrize("change", MISSHAPEN.values(), ids=MISSHAPEN.keys())
async def test_a_signed_webhook_with_an_invalid_body_returns_422_and_changes_nothing(
    device: Device, change: dict[str, Any]
) -> None:
    order_id = await device.processing(milk=2)
    body = {name: value for name, value in (webhook_body(order_id) | change).items() if value is not ...}
    reply = await device.gateway.send_webhook(body)
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert (await device.order(order_id))["status"] == "PROCESSING"


async def test_webhook_with_a_sku_twice_returns_422(device: Device) -> None:
    order_id = await device.processing(milk=2)
    items = [{"sku": "milk", "picked": 2}, {"sku": "milk", "picked": 0}]
    reply = await device.gateway.send_webhook(webhook_body(order_id, items=items))
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_a_signed_webhook_that_is_no_json_returns_400(gateway: RunningGateway) -> None:
    at = now()
    for text in ("nonsense", "[" * 5_000, '{"a":NaN}', '{"a":1,"a":2}'):
        headers = {
            "webhook-id": "msg_n",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(WEBHOOK_KEYS[0]).sign("msg_n", at, text),
        }
        reply = await gateway.request("POST", WEBHOOK, raw=text.encode(), headers=headers, inside=True)
        assert (reply.status, reply.code) == (400, "invalid_json")


ROBOT = {"robot_id": "r-1", "robot_class": "dairy", "assignment_id": "a-1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"robot_id": "a\0b"},
        {"robot_id": "a\x07b"},
        {"robot_id": "line\nbreak"},
        {"robot_id": ""},
        {"robot_id": "x" * 101},
        {"robot_class": "caviar"},
        {"robot_class": "dairy\n"},
        {"assignment_id": "a\0b"},
        {"assignment_id": "a\u2028b"},
    ],
)
async def test_a_webhook_with_a_robot_that_cannot_be_stored_returns_422(device: Device, wrong: dict[str, str]) -> None:
    order_id = await device.processing()
    reply = await device.gateway.send_webhook(webhook_body(order_id, robots=[ROBOT | wrong]))
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert (await device.order(order_id))["status"] == "PROCESSING"
    assert (await device.gateway.send_webhook(webhook_body(order_id, robots=[ROBOT]))).json["applied"] is True
