"""The simulation is worth something: without any one of the rules it finds harm within three hundred seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proofs.simulation.drops import Drop
from tests.proofs.simulation.judge import judge
from tests.proofs.simulation.mutants import MUTANTS, SEEDS, Mutant, hunt
from tests.proofs.simulation.world import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

HARMS = {
    Drop.UNGUARDED_DISPATCH: "the edge table has no such step",
    Drop.UNGUARDED_RELEASE: "the edge table has no such step",
    Drop.UNFENCED_ANSWER: "PROCESSING while no robots have it",
    Drop.EXPIRY_IGNORES_PROMISE: "was promised (202), and is EXPIRED",
    Drop.PROMISE_OVER_RELEASE: "was told that its cancel is under way (202), and is FAILED",
    Drop.UNGUARDED_FINISH: "COMPLETED, which inventory has not said",
    Drop.NO_SWEEPER: "something is still owed",
    Drop.NO_EXPIRER: "something is still owed",
    Drop.NO_RECONCILER: "something is still owed",
    Drop.ASSIGN_NOT_IDEMPOTENT: "was dispatched 2 times",
    Drop.REGISTER_FORGOTTEN: "lost of",
    Drop.NO_TOMBSTONE: "robots have it",
    Drop.RELEASE_REVOKES_STARTED: "robots have it",
    Drop.PICK_WITHOUT_START: "on hand",
    Drop.NO_ITEMS_COMPARED: "was quoted",
    Drop.ASSIGN_OVERSELLS: "oversold",
}


def found_without(drop: Drop) -> Iterator[str]:
    for seed in range(SEEDS):
        yield from judge(simulate(seed, drop))


@pytest.mark.parametrize("drop", Drop, ids=lambda drop: drop.name)
def test_harm_comes_of_a_port_without_a_rule(drop: Drop) -> None:
    assert any(HARMS[drop] in harm for harm in found_without(drop)), f"nothing happens without: {drop}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_harm_comes_of_a_product_without_a_rule(mutant: Mutant) -> None:
    ended = hunt(mutant)
    assert ended.returncode == 1, f"nothing happens without: {mutant.rule}\n{ended.stderr[-1_000:]}"
    assert mutant.found in ended.stdout
    assert "replay: python -m tests.proofs.simulation --seed" in ended.stdout
