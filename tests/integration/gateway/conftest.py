"""A gateway for each module of tests, and a device of its own for each test; the folders below may have others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.harness.fake_peers import PRICES
from tests.harness.running_gateway import Device, RunningGateway, serve_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_gateway(module_dsn: str) -> AsyncIterator[RunningGateway]:
    async with serve_gateway(module_dsn) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(module_gateway: RunningGateway) -> RunningGateway:
    """The module's gateway with full stock and no injected faults."""
    module_gateway.fake_inventory.clear_faults()
    module_gateway.fake_pricing.clear_faults()
    stock = module_gateway.fake_inventory.stock
    stock.update({sku: 1_000 - stock[sku] for sku in PRICES})
    return module_gateway


@pytest_asyncio.fixture(loop_scope="module")
async def device(gateway: RunningGateway) -> Device:
    return await gateway.device()
