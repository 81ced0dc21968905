from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.pg.db import open_db
from tests.conftest import STATEMENT_TIMEOUT_MS
from tests.harness.inventory_batches import violations
from tests.harness.inventory_lots import robot
from tests.harness.running_inventory import RunningInventory
from tests.harness.running_inventory import run_inventory as opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from autogrocery.kit.pg.db import Db


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


@pytest.fixture
def pricing_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("pricing")


@pytest.fixture
async def inventory(inventory_dsn: str) -> AsyncIterator[RunningInventory]:
    """A running inventory with three robots and stock; checks every invariant after the test."""
    async with opened(inventory_dsn) as running:
        await running.fleet()
        await running.stock(milk=50, yoghurt=50, baguette=50, apple=50)
        yield running
        assert await running.violations() == []


@pytest.fixture
async def db(inventory_dsn: str) -> AsyncIterator[Db]:
    """Inventory's database with one robot; checks every invariant after the test."""
    async with open_db(inventory_dsn, application="tests", statement_timeout_ms=STATEMENT_TIMEOUT_MS) as opened:
        await robot(opened)
        yield opened
        assert await violations(opened) == []
