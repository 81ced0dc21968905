"""The stream of changes: of two gateways on one database, and resumed across a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.operators import Operator, operator
from tests.harness.running_gateway import serve_gateway, webhook_body

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device, RunningGateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_stream_tells_changes_and_the_count_of_attention(device: Device, reader: Operator) -> None:
    async with reader.changes() as stream:
        assert "count" in (await stream.until_named("attention")).body
        assert (await stream.until_named("switches")).body == {"names": []}
        order_id = await device.processing()
        event = await stream.until_status(order_id, "PROCESSING")
    assert (event.name, event.body["from"], event.body["cause"]) == ("status", "PREVIEWED", "dispatched")
    numbers = [(one.body["epoch"], one.body["sequence"]) for one in stream.seen if one.name == "status"]
    assert len(numbers) == len(set(numbers))


async def test_stream_resumes_where_it_stopped_across_a_restart_and_sees_both_gateways(module_dsn: str) -> None:
    async with serve_gateway(module_dsn) as first:
        device, reader = await first.device(), await operator(first)
        async with reader.changes() as stream:
            await stream.until_named("attention")
            told = await device.previewed()
            last = (await stream.until_status(told, "PREVIEWED")).event_id
        missed = await device.processing()
    async with serve_gateway(module_dsn) as second, serve_gateway(module_dsn) as third:
        other = await third.device()
        seen_elsewhere = await other.previewed()
        async with Operator(second, reader.token).changes(last) as stream:
            await stream.until_status(missed, "PREVIEWED")
            await stream.until_status(missed, "PROCESSING")
            await stream.until_status(seen_elsewhere, "PREVIEWED")
            await third.send_webhook(webhook_body(missed))
            await stream.until_status(missed, "COMPLETED")
        assert [one.body["to"] for one in stream.seen if one.body.get("order_id") == missed] == [
            "PREVIEWED",
            "PROCESSING",
            "COMPLETED",
        ]
        assert told not in {one.body.get("order_id") for one in stream.seen}


@pytest.mark.parametrize("event_id", ["x", "1.2", "1_2", "9" * 40, "1_1." + "9" * 19, "1" + "_1.1" * 65])
async def test_foreign_event_id_is_refused(reader: Operator, event_id: str) -> None:
    reply = await reader.get("/changes", headers={"last-event-id": event_id})
    assert reply.status in {400, 422}, reply


async def test_other_callers_have_no_stream(gateway: RunningGateway, device: Device) -> None:
    reply = await gateway.request("GET", "/internal/ops/changes", token=device.token, inside=True)
    assert (reply.status, reply.code) == (401, "invalid_token")
