"""PEER_TRANSPORT: the gateway serves the same orders by our own client and by the gRPC library."""

from __future__ import annotations

import pytest

from autogrocery.kit.rpc.status import Code
from tests.harness.running_gateway import serve_gateway, webhook_body


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_order_is_completed_and_a_peer_without_an_answer_is_503(gateway_dsn: str, transport: str) -> None:
    async with serve_gateway(gateway_dsn, PEER_TRANSPORT=transport) as gateway:
        device = await gateway.device()
        order_id = await device.previewed(milk=2, bread=1)
        assert (await device.confirm(order_id)).json["status"] == "PROCESSING"
        await gateway.send_webhook(webhook_body(order_id, items=[{"sku": "milk", "picked": 2}]))
        assert (await device.order(order_id))["status"] == "COMPLETED"
        gateway.fake_inventory.abort_with = {"ReserveItems": Code.UNAVAILABLE}
        assert (await device.preview(milk=1)).status == 503
