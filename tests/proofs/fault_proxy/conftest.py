from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.proofs.fault_proxy.stage import Stage, open_stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.running_gateway import Device


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_stages(module_dsn: str) -> AsyncIterator[Stage]:
    async with open_stage(module_dsn) as stage:
        yield stage


@pytest.fixture
def stage(open_stages: Stage) -> Stage:
    """The module's gateway, in calm weather."""
    open_stages.calm()
    return open_stages


@pytest_asyncio.fixture(loop_scope="module")
async def device(stage: Stage) -> Device:
    return await stage.shop.device()
