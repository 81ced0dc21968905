from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from autogrocery.kit.pg.db import open_db
from tests.harness.fake_depot import Depot, open_depot
from tests.harness.gateway_actions import House, open_house
from tests.proofs.battery.stage import fresh

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
