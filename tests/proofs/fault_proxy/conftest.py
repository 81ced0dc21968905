from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.proofs.fault_proxy.environment import ProxiedGateway, open_proxied_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.running_gateway import Device


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_gateway(module_dsn: str) -> AsyncIterator[ProxiedGateway]:
    async with open_proxied_gateway(module_dsn) as proxied:
        yield proxied


@pytest.fixture
def proxied(module_gateway: ProxiedGateway) -> ProxiedGateway:
    """The module's gateway, no fault set."""
    module_gateway.clear_faults()
    return module_gateway


@pytest_asyncio.fixture(loop_scope="module")
async def device(proxied: ProxiedGateway) -> Device:
    return await proxied.gateway.device()
