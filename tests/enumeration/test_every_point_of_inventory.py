"""The reference inventory keeps its promises when it is broken at any I/O point: restart, two sweeps, audit."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.faults import Fault
from autogrocery.kit.pg import open_db
from tests import figures
from tests.enumeration.breaking import Broken, break_it, points_of
from tests.enumeration.inventory_deeds import INVENTORY
from tests.enumeration.inventory_stage import open_inventory_stage
from tests.enumeration.plans import SEED, plans, subjects

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.enumeration.deeds import Scenario
    from tests.enumeration.inventory_stage import InventoryStage


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", INVENTORY, ids=lambda scenario: scenario.name)
async def test_a_promise_broken_at_any_point_is_kept(inventory_dsn: str, scenario: Scenario[InventoryStage]) -> None:
    name = scenario.name
    chance = random.Random(f"{SEED}/{name}")
    async with open_db(inventory_dsn, application="tests") as db, open_inventory_stage(db) as stage:
        fresh = subjects(stage)
        points = await points_of(stage, scenario, await fresh())
        assert points
        await stage.sweep()
        wrong: list[str] = []
        chosen = plans(points, chance)
        for point, mode, insists in chosen:
            broken = Broken(name, (Fault(point.name, mode, point.nth),), insists)
            wrong += [f"{broken}: {flaw}" for flaw in await break_it(stage, scenario, await fresh(), broken)]
        figures.tell(deeds=1, points=len(points), faults=len(chosen), violations=len(wrong))
        assert not wrong, "\n".join(wrong)
