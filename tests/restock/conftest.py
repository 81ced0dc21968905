from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from autogrocery.kit.pg import open_db
from tests.battery.stage import fresh
from tests.fakes.depot import Depot, open_depot
from tests.fakes.house import House, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(module_dsn: str) -> AsyncIterator[House]:
    """One house for a module; at the end it is audited."""
    async with open_db(module_dsn, application="tests") as db, open_house(db) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def depot(stage: House) -> Depot:
    """A truck of a supplier of its own, and well peers."""
    return await open_depot(await fresh(stage))
