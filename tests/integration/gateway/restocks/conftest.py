from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from autogrocery.kit.pg.db import open_db
from tests.harness.gateway_actions import GatewayActions, open_gateway_actions
from tests.harness.truck_actions import TruckActions, open_truck
from tests.proofs.battery.environment import with_new_device

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(module_dsn: str) -> AsyncIterator[GatewayActions]:
    """One house for a module; at the end it is audited."""
    async with open_db(module_dsn, application="tests") as db, open_gateway_actions(db) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def truck(stage: GatewayActions) -> TruckActions:
    """A truck of a supplier of its own, and well peers."""
    return await open_truck(await with_new_device(stage))
