from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from tests.harness.gateway_actions import HASH, GatewayActions, open_gateway_actions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from autogrocery.kit.pg.db import Db

__all__ = ["HASH", "GatewayActions"]


def pytest_asyncio_loop_factories(config: object, item: object) -> Mapping[str, Callable[[], Any]]:  # noqa: ARG001
    """Run these tests on the event loop of production, whose transports and TLS are its own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def gateway(gateway_db: Db) -> AsyncIterator[GatewayActions]:
    """A gateway's insides, with one device; audited at the end."""
    async with open_gateway_actions(gateway_db) as gateway:
        yield gateway
