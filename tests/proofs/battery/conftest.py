from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio
from msgspec import Struct

from autogrocery.kit.pg.db import open_db
from tests.harness.fake_peers import PRICES
from tests.harness.gateway_actions import House, open_house
from tests.proofs.battery.stage import FULL_SHELF, attempt, fresh, violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from autogrocery.kit.pg.db import Db

CONNECTIONS = 6


class Stage(Struct):
    """What the cells of a module share, and which device belongs to which of them."""

    house: House
    cells: dict[int, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(module_dsn: str) -> AsyncIterator[Stage]:
    """Opened once; at the end the audit names the cell that has left a violation behind."""
    async with open_db(module_dsn, application="tests") as db, open_house(db) as house:
        house.shelf.stock.update(dict.fromkeys(PRICES, FULL_SHELF - house.shelf.stock["milk"]))
        stage = Stage(house, {})
        yield stage
        guilty = [(one, stage.cells.get(user_id)) for one, user_id in await violations(house)]
        assert guilty == []


async def _connect(db: Db) -> None:
    """Open the pool's connections, so that on a busy machine no cell waits for one longer than it may."""
    await asyncio.gather(*(attempt(db.row("SELECT pg_sleep(0.1)")) for _ in range(CONNECTIONS)))


@pytest_asyncio.fixture(loop_scope="module")
async def house(stage: Stage, request: pytest.FixtureRequest) -> House:
    """The stage for one cell."""
    made = await fresh(stage.house)
    stage.cells[made.user_id] = request.node.name
    return made
