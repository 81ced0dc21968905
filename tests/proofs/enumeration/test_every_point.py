"""Every I/O point of every deed, broken in every way: restart, two sweeps, audit."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import autogrocery.gateway
from autogrocery.kit.process.faults import Fault, Mode
from tests.harness import figures
from tests.proofs.enumeration.accounts import ACCOUNTS
from tests.proofs.enumeration.breaking import NOT_REACHED, Broken, break_it, points_of
from tests.proofs.enumeration.orders import ORDERS
from tests.proofs.enumeration.plans import EVERYTHING, SEED, break_everywhere, modes_at, subjects
from tests.proofs.enumeration.restocks import RESTOCKS
from tests.proofs.enumeration.stage import open_stage

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from tests.proofs.enumeration.breaking import Point

SCENARIOS = {scenario.name: scenario for scenario in (*ORDERS, *RESTOCKS, *ACCOUNTS)}
PAIRS = 2_000 if EVERYTHING else 40

# Read by doors that change nothing, or run by a command or as housekeeping: a fault there is an error, and the next starts afresh.
LEFT_OUT = {
    "orders.list_of_device",
    "orders.list_events",
    "metrics_log.list_epochs",
    "metrics_log.list_changes",
    "metrics_log.add_epoch",
    "due.count",
    "due.flag",
    "due.hasten",
    "devices.list",
    "devices.list_disabled",
    "devices.disable",
    "refresh_tokens.forget",
    "standings.list",
    "standings.list_restocks",
    "restocks.get_of_truck",
    "restocks.list_events",
    "due_restocks.count",
    "due_restocks.flag",
    "due_restocks.hasten",
    "restock_inbox.get",
    "restock_inbox.remember",
    "inventory.check_availability",
    "pricing.list_products",
    "inbox.remember",
    "devices.set_alerts",
    "receipts.list",
    "receipts.list_done",
    "receipts.replay",
    "receipts.count_dead",
    "enrolments.add",
    "enrolments.list",
    "enrolments.revoke",
    "standings.owners",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_deed_broken_at_any_point_is_mended(gateway_db: Db, tmp_path: Path, name: str) -> None:
    async with open_stage(gateway_db, tmp_path) as stage:
        wrong = await break_everywhere(stage, SCENARIOS[name])
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(1_800)
async def test_a_deed_broken_at_two_points_is_mended(gateway_db: Db, tmp_path: Path) -> None:
    chance = random.Random(SEED)

    def a_mode(point: Point) -> Mode:
        return chance.choice([mode for mode in modes_at(point) if EVERYTHING or mode is not Mode.HANG])

    async with open_stage(gateway_db, tmp_path) as stage:
        fresh = subjects(stage)
        points = {}
        for scenario in SCENARIOS.values():
            points[scenario.name] = await points_of(stage, scenario, await fresh())
            stage.shelf.refuse_robots = False
        wrong: list[str] = []
        missed = 0
        for _ in range(PAIRS):
            scenario = chance.choice(list(SCENARIOS.values()))
            first, second = chance.choice(points[scenario.name]), chance.choice(points[scenario.name])
            faults = (
                Fault(first.name, a_mode(first), first.nth),
                Fault(second.name, a_mode(second), second.nth + (first == second)),  # the repeat is struck too
            )
            broken = Broken(scenario.name, faults, chance.random() < 0.5)
            stage.shelf.refuse_robots = False
            flaws = await break_it(stage, scenario, await fresh(), broken) + await stage.violations()
            missed += NOT_REACHED in flaws
            wrong += [f"{broken}: {flaw}" for flaw in flaws if flaw != NOT_REACHED]
        figures.tell(pairs=PAIRS, violations=len(wrong))
        assert not wrong, "\n".join(wrong)
        assert missed < PAIRS / 10


async def test_the_deeds_pass_every_statement_and_every_call_of_the_gateway(gateway_db: Db, tmp_path: Path) -> None:
    package = Path(autogrocery.gateway.__file__).parent
    declared = set()
    for file in (*package.glob("store/*.py"), *package.glob("peers/*.py")):
        text = file.read_text()
        declared |= set(re.findall(r"-- ([a-z_]+\.[a-z_]+)\b", text)) | set(re.findall(r'point="([a-z_.]+)"', text))
    passed = set()
    async with open_stage(gateway_db, tmp_path) as stage:
        fresh = subjects(stage)
        for scenario in SCENARIOS.values():
            passed |= {point.name for point in await points_of(stage, scenario, await fresh())}
            stage.shelf.refuse_robots = False
    assert declared - passed - LEFT_OUT == set()
    assert not passed & LEFT_OUT
