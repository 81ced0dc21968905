from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.server import serve
from autogrocery.pricing.rpc import Pricing, methods
from tests.harness.grpc_client import PRICING, patient_stub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
def dsn(dsn_of: Callable[[str], str]) -> str:
    """A database with pricing's tables, empty."""
    return dsn_of("pricing")


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, application="pricing tests") as db:
        yield db


@pytest.fixture
async def pricing(db: Db) -> AsyncIterator[Any]:
    """A client of a pricing service with a margin of 30 %."""
    served = methods(Pricing(db, currency="EUR", margin_percent=30))
    async with (
        serve("PRICING_GRPC_ADDR", "127.0.0.1", 0, served) as port,
        open_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield patient_stub(channel, PRICING)
