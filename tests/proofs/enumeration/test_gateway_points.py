"""Faults at every I/O point of every operation of the gateway: restart, two runs of the loops, audit."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import autogrocery.gateway
import autogrocery.notifier
from autogrocery.kit.process.faults import Fault, Mode
from tests.harness import figures
from tests.proofs.enumeration.account_scenarios import ACCOUNTS
from tests.proofs.enumeration.fault_plans import EVERYTHING, SEED, inject_everywhere, modes_at, subjects
from tests.proofs.enumeration.gateway_environment import open_gateway_environment
from tests.proofs.enumeration.injection import NOT_REACHED, Injection, inject, record_points
from tests.proofs.enumeration.order_scenarios import ORDERS
from tests.proofs.enumeration.restock_scenarios import RESTOCKS

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from tests.proofs.enumeration.injection import Point

SCENARIOS = {scenario.name: scenario for scenario in (*ORDERS, *RESTOCKS, *ACCOUNTS)}
PAIRS = 2_000 if EVERYTHING else 40

# Used by read-only routes, commands or housekeeping: a fault there is an error of that call, and the next call starts
# anew.
LEFT_OUT = {
    "health.ping",
    "orders.list_of_device",
    "orders.list_events",
    "metrics_log.list_epochs",
    "metrics_log.list_changes",
    "metrics_log.add_epoch",
    "metrics_log.count_changes",
    "lag.read",
    "shortfalls.list_short_lines",
    "shortfalls.list_delivered",
    "due.count",
    "due.flag",
    "due.note_answer",
    "due.hasten",
    "devices.list",
    "devices.list_disabled",
    "devices.disable",
    "devices.enable",
    "refresh_tokens.delete_expired",
    "summaries.list_orders",
    "summaries.list_restocks",
    "restocks.get_of_truck",
    "restocks.list_events",
    "due_restocks.count",
    "due_restocks.flag",
    "due_restocks.note_answer",
    "due_restocks.hasten",
    "restock_inbox.get",
    "restock_inbox.remember",
    "inventory.check_availability",
    "pricing.list_products",
    "inbox.remember",
    "devices.set_alerts",
    "devices.change_contact",
    "receipts.list",
    "receipts.list_done",
    "receipts.replay",
    "receipts.count_dead",
    "enrolments.add",
    "enrolments.list",
    "enrolments.revoke",
    "summaries.list_owners",
    "schema.missing",
    "mail.write",  # these two instead of mail.send and sms.send: test_notifier_kills.py
    "sms.log",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_an_operation_broken_at_any_point_ends_right(gateway_db: Db, name: str) -> None:
    async with open_gateway_environment(gateway_db) as env:
        failures = await inject_everywhere(env, SCENARIOS[name])
    assert not failures, "\n".join(failures)


@pytest.mark.timeout(1_800)
async def test_an_operation_broken_at_two_points_ends_right(gateway_db: Db) -> None:
    rng = random.Random(SEED)

    def a_mode(point: Point) -> Mode:
        return rng.choice([mode for mode in modes_at(point) if EVERYTHING or mode is not Mode.HANG])

    async with open_gateway_environment(gateway_db) as env:
        new_subject = subjects(env)
        points = {}
        for scenario in SCENARIOS.values():
            points[scenario.name] = await record_points(env, scenario, await new_subject())
            env.fake_inventory.refuse_robots = False
        failures: list[str] = []
        missed = 0
        for _ in range(PAIRS):
            scenario = rng.choice(list(SCENARIOS.values()))
            first, second = rng.choice(points[scenario.name]), rng.choice(points[scenario.name])
            faults = (
                Fault(first.name, a_mode(first), first.nth),
                Fault(second.name, a_mode(second), second.nth + (first == second)),  # the second call of the same point
            )
            injection = Injection(scenario.name, faults, rng.random() < 0.5)
            env.fake_inventory.refuse_robots = False
            violations = await inject(env, scenario, await new_subject(), injection) + await env.violations()
            missed += NOT_REACHED in violations
            failures += [f"{injection}: {violation}" for violation in violations if violation != NOT_REACHED]
        figures.record(pairs=PAIRS, violations=len(failures))
        assert not failures, "\n".join(failures)
        assert missed < PAIRS / 10


async def test_the_scenarios_pass_every_statement_and_every_call_of_the_gateway(gateway_db: Db) -> None:
    packages = [Path(one.__file__).parent for one in (autogrocery.gateway, autogrocery.notifier)]
    declared = set()
    for file in (file for package in packages for room in ("store", "peers") for file in package.glob(f"{room}/*.py")):
        text = file.read_text()
        declared |= set(re.findall(r"-- ([a-z_]+\.[a-z_]+)\b", text)) | set(
            re.findall(r'(?:point=|through\()"([a-z_.]+)"', text)
        )
    passed = set()
    async with open_gateway_environment(gateway_db) as env:
        new_subject = subjects(env)
        for scenario in SCENARIOS.values():
            passed |= {point.name for point in await record_points(env, scenario, await new_subject())}
            env.fake_inventory.refuse_robots = False
    assert declared - passed - LEFT_OUT == set()
    assert not passed & LEFT_OUT
