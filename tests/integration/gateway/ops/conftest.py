from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.harness.operators import READ, Operator, unregistered
from tests.harness.operators import operator as sign_in

if TYPE_CHECKING:
    from tests.harness.running_gateway import RunningGateway


@pytest_asyncio.fixture(loop_scope="module")
async def reader(gateway: RunningGateway) -> Operator:
    """An operator who may only read."""
    return await sign_in(gateway, READ)


@pytest_asyncio.fixture(loop_scope="module")
async def operator(gateway: RunningGateway) -> Operator:
    return unregistered(gateway)
