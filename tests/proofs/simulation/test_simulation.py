"""No seed violates an invariant, and a seed always produces the same run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from autogrocery.kit.process.log import log
from tests.proofs.simulation.loop import DeadlockError, VirtualLoop, run
from tests.proofs.simulation.memory_db import MemoryDb
from tests.proofs.simulation.report import Figures, run_all
from tests.proofs.simulation.world import simulate

ROOT = Path(__file__).parents[3]
SEEDS = range(300)


def test_300_seeds_violate_no_invariant_and_meet_every_probe() -> None:
    figures = Figures()
    for _ in run_all(SEEDS, figures):
        pass
    assert not figures.failures, figures.failures[0].description
    assert figures.missed == []


def trace(seed: int) -> str:
    return "\n".join(map(str, simulate(seed).trace.events))


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_the_same_seed_is_the_same_run_to_the_byte(seed: int) -> None:
    first = trace(seed)
    random.seed()
    assert trace(seed) == first
    assert trace(seed + 1) != first


def test_another_process_prints_the_same_trace() -> None:
    command = [sys.executable, "-m", "tests.proofs.simulation", "--seed", "5", "--trace"]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.startswith(trace(5))


def test_a_deadlock_raises() -> None:
    loop = VirtualLoop()

    async def wait_for_ever() -> None:
        await loop.create_future()

    with pytest.raises(DeadlockError):
        run(wait_for_ever(), loop)


async def test_an_unknown_statement_raises_lookup_error() -> None:
    with pytest.raises(LookupError, match=r"orders\.unheard_of"):
        await MemoryDb(random.Random(0).random).row("-- orders.unheard_of\nSELECT 1")


def test_the_log_configuration_is_restored(capsys: pytest.CaptureFixture[str]) -> None:
    simulate(0)
    log.info("something_happened")
    assert "something_happened" in "".join(capsys.readouterr())
