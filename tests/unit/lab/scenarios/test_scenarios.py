"""Results of scenarios that can't be played. A `prove` run plays them (tests/proofs/prove)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import aiohttp

from autogrocery.lab.scenarios import Environment, lost_commits, oversell
from autogrocery.lab.scenarios.context import ScenarioContext
from autogrocery.lab.scenarios.lock_conflicts import DEADLOCK, LOCK_TIMEOUT, LockConflicts, conflicts_since, log_sizes
from autogrocery.lab.scenarios.run import play

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = Environment(
    ("http://127.0.0.1:1", "http://127.0.0.1:1"), ("http://127.0.0.1:1",) * 2, "127.0.0.1:1", "127.0.0.1:1", "x" * 32, 6
)


async def test_lost_commits_without_fault_proxies_is_skipped_and_not_ok() -> None:
    async with aiohttp.ClientSession() as session:
        result = await lost_commits.play(ScenarioContext(NOWHERE, session, [], random.Random(1), 1.0))
    assert (result.ok, result.skipped, result.violations) == (False, True, [])
    assert result.summary.startswith("skipped: ")


async def test_scenario_without_a_network_is_not_ok_and_says_why() -> None:
    async with aiohttp.ClientSession() as session:
        result = await play(oversell, ScenarioContext(NOWHERE, session, [], random.Random(1), 1.0))
    assert (result.ok, result.skipped) == (False, False)
    assert result.violations[0].startswith("could not be played: StartError: inventory did not take the stock")


def test_deadlocks_are_counted_from_the_scenarios_start(tmp_path: Path) -> None:
    log, fresh = tmp_path / "server.log", tmp_path / "later.log"
    log.write_bytes(b"ERROR:  " + DEADLOCK + b"\n" * 99)
    before = log_sizes([log, fresh])
    assert conflicts_since(before) == LockConflicts()
    with log.open("ab") as file:
        file.write(b"ERROR:  " + DEADLOCK + b"\nERROR:  " + LOCK_TIMEOUT + b"\n")
    fresh.write_bytes(DEADLOCK)
    assert conflicts_since(before) == LockConflicts(2, 1)
    log.write_bytes(LOCK_TIMEOUT)  # rotated
    assert conflicts_since(before) == LockConflicts(1, 1)
