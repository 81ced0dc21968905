"""Faults at every I/O point of every operation of the reference inventory: restart, two runs of the loops, audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.pg.db import open_db
from tests.conftest import STATEMENT_TIMEOUT_MS
from tests.proofs.enumeration.fault_plans import inject_everywhere
from tests.proofs.enumeration.inventory_environment import open_inventory_environment
from tests.proofs.enumeration.inventory_scenarios import INVENTORY
from tests.proofs.enumeration.lot_scenarios import DATED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.proofs.enumeration.inventory_environment import InventoryEnvironment
    from tests.proofs.enumeration.scenario import Scenario


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", INVENTORY + DATED, ids=lambda scenario: scenario.name)
async def test_an_inventory_operation_broken_at_any_point_ends_right(
    inventory_dsn: str, scenario: Scenario[InventoryEnvironment]
) -> None:
    async with (
        open_db(inventory_dsn, application="tests", statement_timeout_ms=STATEMENT_TIMEOUT_MS) as db,
        open_inventory_environment(db) as env,
    ):
        failures = await inject_everywhere(env, scenario)
    assert not failures, "\n".join(failures)
