"""What the concurrency scenarios say when they cannot be played. Playing them is part of a `prove` run (tests/proofs/prove)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import aiohttp

from autogrocery.lab.scenarios import Floor, buyers, lost_commits
from autogrocery.lab.scenarios.deadlocks import DEADLOCK, LOCK_TIMEOUT, Jams, jams_since, lengths
from autogrocery.lab.scenarios.run import play
from autogrocery.lab.scenarios.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = Floor(
    ("http://127.0.0.1:1", "http://127.0.0.1:1"), ("http://127.0.0.1:1",) * 2, "127.0.0.1:1", "127.0.0.1:1", "x" * 32, 6
)


async def test_without_fault_proxies_lost_commits_are_left_out_and_not_ok() -> None:
    async with aiohttp.ClientSession() as session:
        result = await lost_commits.play(Stage(NOWHERE, session, [], random.Random(1), 1.0))
    assert (result.ok, result.left_out, result.violations) == (False, True, [])
    assert result.told.startswith("left out: ")


async def test_a_scenario_that_cannot_be_played_is_not_ok_and_says_why() -> None:
    async with aiohttp.ClientSession() as session:
        result = await play(buyers, Stage(NOWHERE, session, [], random.Random(1), 1.0))
    assert (result.ok, result.left_out) == (False, False)
    assert result.violations[0].startswith("could not be played: StartError: pricing did not take the stock")


def test_deadlocks_are_counted_from_where_the_scenario_began(tmp_path: Path) -> None:
    log, fresh = tmp_path / "server.log", tmp_path / "later.log"
    log.write_bytes(b"ERROR:  " + DEADLOCK + b"\n" * 99)
    before = lengths([log, fresh])
    assert jams_since(before) == Jams()
    with log.open("ab") as file:
        file.write(b"ERROR:  " + DEADLOCK + b"\nERROR:  " + LOCK_TIMEOUT + b"\n")
    fresh.write_bytes(DEADLOCK)
    assert jams_since(before) == Jams(2, 1)
    log.write_bytes(LOCK_TIMEOUT)  # begun anew
    assert jams_since(before) == Jams(1, 1)
