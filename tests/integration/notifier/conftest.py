from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_actions import HASH, GatewayActions, open_gateway_actions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.pg.db import Db

__all__ = ["HASH", "GatewayActions"]


@pytest.fixture
async def gateway(gateway_db: Db) -> AsyncIterator[GatewayActions]:
    """A gateway's insides, with one device; audited at the end."""
    async with open_gateway_actions(gateway_db) as gateway:
        yield gateway
