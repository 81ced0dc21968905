from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio
from msgspec import Struct

from autogrocery.kit.pg.db import open_db
from tests.harness.fake_peers import PRICES
from tests.harness.gateway_actions import GatewayActions, open_gateway_actions
from tests.proofs.battery.environment import FULL_SHELF, violations, with_new_device

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


class SharedGateway(Struct):
    """The gateway that a module's tests share, and the name of the test by the user id of its device."""

    gateway: GatewayActions
    test_names: dict[int, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(module_dsn: str) -> AsyncIterator[SharedGateway]:
    """Open it once a module; at the end the audit names the test whose order violates an invariant."""
    async with open_db(module_dsn, application="tests") as db, open_gateway_actions(db) as gateway:
        gateway.fake_inventory.stock.update(dict.fromkeys(PRICES, FULL_SHELF - gateway.fake_inventory.stock["milk"]))
        shared = SharedGateway(gateway, {})
        yield shared
        guilty = [(one, shared.test_names.get(user_id)) for one, user_id in await violations(gateway)]
        assert guilty == []


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(shared: SharedGateway, request: pytest.FixtureRequest) -> GatewayActions:
    """The shared gateway with a device for one test."""
    made = await with_new_device(shared.gateway)
    shared.test_names[made.user_id] = request.node.name
    return made
