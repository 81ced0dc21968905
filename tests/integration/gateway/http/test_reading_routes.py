"""Catalog, orders, history and event stream, each for its own device only."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from autogrocery.kit.ids import uuid7
from tests.harness.http_probe import request, wire
from tests.harness.running_gateway import TIMEOUT_S, Device, webhook_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOWN = grpc.StatusCode.UNAVAILABLE
ORDERS, CATALOG = "/api/client/orders", "/api/client/catalog"
ENDED = ["PREVIEWED", "PROCESSING", "COMPLETED"]


async def completed(device: Device) -> str:
    order_id = await device.processing()
    assert (await device.gateway.send_webhook(webhook_body(order_id))).status == 200
    return order_id


async def test_the_catalog_has_price_and_stock(device: Device) -> None:
    device.gateway.fake_inventory.stock["apple"] = 7
    reply = await device.get(f"{CATALOG}?q=app")
    apple = {"sku": "apple", "name": "Apple", "aisle_type": "dairy", "unit_price_cents": 45, "available": 7}
    assert reply.json == {"data": [apple], "next_cursor": None}


async def test_the_catalog_is_paged(device: Device) -> None:
    seen: list[str] = []
    path = f"{CATALOG}?limit=2"
    while path:
        page = (await device.get(path)).json
        seen += [product["sku"] for product in page["data"]]
        path = f"{CATALOG}?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert seen == ["apple", "bread", "milk"]


async def test_a_catalog_query_without_a_match_returns_an_empty_page(device: Device) -> None:
    assert (await device.get(f"{CATALOG}?q=caviar")).json == {"data": [], "next_cursor": None}


async def test_the_catalog_without_inventory_has_prices_only(device: Device) -> None:
    device.gateway.fake_inventory.abort_with = {"CheckAvailability": DOWN}
    assert [product["available"] for product in (await device.get(CATALOG)).json["data"]] == [None] * 3


async def test_the_catalog_without_pricing_returns_503(device: Device) -> None:
    device.gateway.fake_pricing.abort_with = DOWN
    reply = await device.get(CATALOG)
    assert (reply.status, reply.code) == (503, "pricing_unavailable")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "q=%00", "q=%ff", "q=" + "x" * 101, "colour=red"]
)
async def test_an_invalid_catalog_query_returns_422(device: Device, query: str) -> None:
    reply = await device.get(f"{CATALOG}?{query}")
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_orders_come_newest_first_in_pages_that_a_new_order_does_not_shift(device: Device) -> None:
    made = []
    for number in range(5):
        made.append(await device.processing())
        if number % 2:
            await device.cancel(made[-1])
    first = (await device.get(f"{ORDERS}?limit=2")).json
    await device.processing()
    seen, cursor = [order["order_id"] for order in first["data"]], first["next_cursor"]
    while cursor:
        page = (await device.get(f"{ORDERS}?limit=2&cursor={cursor}")).json
        seen += [order["order_id"] for order in page["data"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    cancelled = (await device.get(f"{ORDERS}?status=CANCELLED")).json
    assert [order["order_id"] for order in cancelled["data"]] == [made[3], made[1]]
    assert cancelled["next_cursor"] is None


async def test_a_device_without_orders_has_an_empty_page_and_no_last(device: Device) -> None:
    assert (await device.get(ORDERS)).json == {"data": [], "next_cursor": None}
    last = await device.get(f"{ORDERS}/last")
    assert (last.status, last.code) == (404, "order_not_found")


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


ONE = "018f0000-0000-7000-8000-000000000000"
CURSORS = [
    "x",
    "====",
    "%C3%A9",
    cursor("hello"),
    cursor(f"2026-01-01 {ONE}"),
    cursor(f"2026-01-01T00:00:00 {ONE}"),
    cursor("2026-01-01T00:00:00Z x"),
    cursor(f"0001-01-01T00:00:00+23:59 {ONE}"),
    cursor(f"9999-12-31T23:59:59-23:59 {ONE}"),
    cursor(f"20260101T000000Z {ONE}"),
    cursor(f"2026-01-01T00:00:00Z {ONE} x"),
    cursor("\0 \0"),
    "x" * 201,
]


@pytest.mark.parametrize("given", CURSORS)
async def test_an_invalid_cursor_returns_422(device: Device, given: str) -> None:
    reply = await device.get(f"{ORDERS}?cursor={given}")
    assert (reply.status, reply.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    "query",
    [
        "status=processing",
        "status=DONE",
        "status=",
        "limit=0",
        "limit=101",
        "limit=1.5",
        "limit=",
        "page=2",
        "status=FAILED&status=FAILED",
    ],
)
async def test_an_invalid_orders_query_returns_422(device: Device, query: str) -> None:
    reply = await device.get(f"{ORDERS}?{query}")
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_last_returns_the_newest_order(device: Device) -> None:
    await device.previewed()
    newest = await device.previewed()
    assert (await device.get(f"{ORDERS}/last")).json == await device.order(newest)


@pytest.mark.parametrize("tail", ["", "/events"])
async def test_another_devices_order_and_a_missing_one_return_the_same_bytes(device: Device, tail: str) -> None:
    order_id = await (await device.gateway.device()).previewed()
    same = {"x-request-id": "same"}
    foreign, missing, no_uuid = [
        await device.get(f"{ORDERS}/{one}{tail}", headers=same) for one in (order_id, str(uuid7()), "x")
    ]
    assert (foreign.status, foreign.code) == (404, "order_not_found")
    assert foreign.body == missing.body == no_uuid.body
    assert foreign.headers.keys() == missing.headers.keys()


@pytest.mark.parametrize(
    "order_id",
    ["x", "%00", "..", ONE.replace("-", ""), "{" + ONE + "}", f"urn:uuid:{ONE}", f"{ONE}%20", "%C3%A9", "a" * 300],
)
async def test_an_invalid_order_id_in_a_path_returns_404(device: Device, order_id: str) -> None:
    reply = await device.get(f"{ORDERS}/{order_id}")
    assert (reply.status, reply.code) in {(404, "order_not_found"), (404, "not_found")}


async def test_an_order_id_in_upper_case_is_accepted(device: Device) -> None:
    order_id = await device.previewed()
    assert (await device.order(order_id.upper()))["order_id"] == order_id


async def test_the_history_has_each_change_once(device: Device) -> None:
    order_id = await completed(device)
    events = (await device.get(f"{ORDERS}/{order_id}/events")).json["data"]
    assert [event["version"] for event in events] == [1, 2, 3]
    assert [event["to"] for event in events] == ENDED
    assert [event["from"] for event in events] == [None, *ENDED[:-1]]
    assert [event["cause"] for event in events] == ["previewed", "dispatched", "picked"]


async def stream(device: Device, order_id: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a live stream; the id of each must be its version."""
    fields = {"accept": "text/event-stream", "authorization": f"Bearer {device.token}"} | headers
    url = f"{device.gateway.public}{ORDERS}/{order_id}/events"
    async with asyncio.timeout(TIMEOUT_S), device.gateway.session.get(url, headers=fields) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        text = ""
        async for part in answer.content:
            text += part.decode()
            while "\n\n" in text:
                frame, text = text.split("\n\n", 1)
                fields = dict(line.split(": ", 1) for line in frame.splitlines())
                event = json.loads(fields["data"])
                assert (fields["id"], fields["event"]) == (str(event["version"]), "status")
                yield event


async def test_the_stream_sends_changes_as_they_happen_and_ends_with_the_order(device: Device) -> None:
    order_id = await device.previewed()
    seen = []
    async for event in stream(device, order_id):
        seen.append(event["to"])
        if event["to"] == "PREVIEWED":
            await device.confirm(order_id)
        if event["to"] == "PROCESSING":
            await device.gateway.send_webhook(webhook_body(order_id))
    assert seen == ENDED


async def test_a_stream_resumes_after_last_event_id(device: Device) -> None:
    order_id = await completed(device)
    after_one = [event["to"] async for event in stream(device, order_id, **{"last-event-id": "1"})]
    assert after_one == ENDED[1:]


@pytest.mark.parametrize("seen", ["3", "99999"])
async def test_a_stream_resumed_after_the_last_event_returns_204(device: Device, seen: str) -> None:
    order_id = await completed(device)
    reply = await device.get(
        f"{ORDERS}/{order_id}/events", headers={"accept": "text/event-stream", "last-event-id": seen}
    )
    assert (reply.status, reply.body) == (204, b"")


@pytest.mark.parametrize("given", ["x", "-1", "²", "1" * 40])
async def test_an_invalid_last_event_id_sends_all_events(device: Device, given: str) -> None:
    order_id = await completed(device)
    assert [event["to"] async for event in stream(device, order_id, **{"last-event-id": given})] == ENDED


async def test_a_stream_of_another_devices_order_returns_404(device: Device) -> None:
    order_id = await (await device.gateway.device()).previewed()
    reply = await device.get(f"{ORDERS}/{order_id}/events", headers={"accept": "text/event-stream"})
    assert (reply.status, reply.code) == (404, "order_not_found")


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (["TEXT/Event-Stream"], "text/event-stream"),
        (["application/json;q=0.5", "text/event-stream"], "text/event-stream"),
        (["text/event-stream;q=0"], "application/json"),
        (["text/event-stream;q=0, */*"], "application/json"),
        (["text/event-stream;q=0.1", "application/json"], "application/json"),
        (["text/event-streams"], "application/json"),
        (["*/*"], "application/json"),
    ],
)
async def test_events_are_streamed_only_to_those_who_prefer_it(device: Device, accept: list[str], media: str) -> None:
    order_id = await completed(device)
    fields = [("authorization", f"Bearer {device.token}"), *(("accept", one) for one in accept)]
    url = f"{device.gateway.public}{ORDERS}/{order_id}/events"
    async with asyncio.timeout(TIMEOUT_S), device.gateway.session.get(url, headers=fields) as answer:
        assert (answer.status, answer.content_type) == (200, media)


async def test_head_of_a_stream_ends_at_once(device: Device) -> None:
    order_id = await device.previewed()
    head = request("HEAD", f"{ORDERS}/{order_id}/events", bearer=device.token, headers={"accept": "text/event-stream"})
    async with wire(int(device.gateway.public.rpartition(":")[2])) as line:
        for _ in range(3):
            await line.send(head)
            reply = await line.reply(head_only=True)
            assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")


async def test_head_of_a_stream_returns_200_without_a_body(device: Device) -> None:
    order_id = await device.previewed()
    reply = await device.gateway.request(
        "HEAD", f"{ORDERS}/{order_id}/events", token=device.token, headers={"accept": "text/event-stream"}
    )
    assert (reply.status, reply.body) == (200, b"")
