"""With PEER_STREAMS=on, a peer with a stream that does not work loses no request of a device."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.harness.running_gateway import serve_gateway

if TYPE_CHECKING:
    from tests.harness.running_gateway import Device

DEVICES = 24  # fewer than the requests at once from which the gateway may shed load


@pytest.mark.parametrize("how", ["UNIMPLEMENTED", "ends", "INTERNAL", "UNAVAILABLE", "PERMISSION_DENIED", "swallows"])
async def test_a_stream_that_does_not_work_costs_no_device_an_answer(gateway_dsn: str, how: str) -> None:
    async with serve_gateway(gateway_dsn, PEER_STREAMS="on") as gateway:
        gateway.fake_inventory.odd_stream = gateway.fake_pricing.odd_stream = how
        devices = [await gateway.device() for _ in range(DEVICES)]
        for _ in range(3):
            statuses = await asyncio.gather(*(order(device) for device in devices))
            assert statuses == [(201, 200, 200)] * DEVICES
        assert gateway.fake_inventory.streams >= 1
        assert gateway.fake_pricing.streams >= 1


async def order(device: Device) -> tuple[int, int, int]:
    """Preview and confirm an order and look at the catalog; returns the statuses."""
    preview = await device.preview()
    confirm = await device.confirm(preview.json.get("order_id", ""))
    catalog = await device.get("/api/client/catalog")
    return preview.status, confirm.status, catalog.status
