from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.harness.running_inventory import RunningInventory
from tests.harness.running_inventory import run_inventory as opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture(scope="module")
def inventory_dsn_of_module(module_dsn_of: Callable[[str], str]) -> str:
    return module_dsn_of("inventory")


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inventory_of_module(inventory_dsn_of_module: str) -> AsyncIterator[RunningInventory]:
    """An inventory with a small fleet and full shelves, for a whole module."""
    async with opened(
        inventory_dsn_of_module, robot_queue_max=1_000, robot_seen_s=3_600.0, pick_lease_s=60.0
    ) as running:
        await running.fleet()
        await running.stock(milk=100_000, yoghurt=50, baguette=50, apple=50)
        yield running
        assert await running.violations() == []
