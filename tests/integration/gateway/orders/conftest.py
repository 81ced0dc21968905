from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_actions import HASH, House, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.pg.db import Db

__all__ = ["HASH", "House"]


@pytest.fixture
async def house(gateway_db: Db) -> AsyncIterator[House]:
    """A gateway's insides, with one device; audited at the end."""
    async with open_house(gateway_db) as house:
        yield house
