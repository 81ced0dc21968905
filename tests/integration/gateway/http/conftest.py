from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.harness.fake_peers import PRICES
from tests.harness.running_gateway import Device, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_doors(module_dsn: str) -> AsyncIterator[Shop]:
    async with open_shop(module_dsn) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="module")
async def shop(open_doors: Shop) -> Shop:
    """The module's gateway, with shelves full and peers well."""
    shelf, prices = open_doors.shelf, open_doors.prices
    shelf.trouble, shelf.after_effect, shelf.refuse_robots, shelf.gate = {}, False, False, None
    shelf.stock.update({sku: 1_000 - shelf.stock[sku] for sku in PRICES})
    prices.trouble = None
    return open_doors


@pytest_asyncio.fixture(loop_scope="module")
async def device(shop: Shop) -> Device:
    return await shop.device()
