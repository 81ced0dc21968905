"""The reference inventory keeps its promises when it is broken at any I/O point: restart, two sweeps, audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.pg.db import open_db
from tests.conftest import PATIENT_MS
from tests.proofs.enumeration.dated_deeds import DATED
from tests.proofs.enumeration.inventory_deeds import INVENTORY
from tests.proofs.enumeration.inventory_stage import open_inventory_stage
from tests.proofs.enumeration.plans import break_everywhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proofs.enumeration.deeds import Scenario
    from tests.proofs.enumeration.inventory_stage import InventoryStage


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", INVENTORY + DATED, ids=lambda scenario: scenario.name)
async def test_a_promise_broken_at_any_point_is_kept(inventory_dsn: str, scenario: Scenario[InventoryStage]) -> None:
    async with (
        open_db(inventory_dsn, application="tests", statement_timeout_ms=PATIENT_MS) as db,
        open_inventory_stage(db) as stage,
    ):
        wrong = await break_everywhere(stage, scenario)
    assert not wrong, "\n".join(wrong)
