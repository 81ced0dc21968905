"""The simulation notices each omitted rule, of a port or of the product, within SEEDS seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proofs.simulation.checks import check_run
from tests.proofs.simulation.mutants import MUTANTS, SEEDS, Mutant, run_mutant
from tests.proofs.simulation.omitted_rules import Rule
from tests.proofs.simulation.world import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

HARMS = {
    Rule.UNGUARDED_DISPATCH: "the edge table has no such step",
    Rule.UNGUARDED_RELEASE: "the edge table has no such step",
    Rule.UNFENCED_ANSWER: "PROCESSING while no robots have it",
    Rule.EXPIRY_IGNORES_PROMISE: "was promised (202), and is EXPIRED",
    Rule.PROMISE_OVER_RELEASE: "was answered that its cancel is under way (202), and is FAILED",
    Rule.UNGUARDED_FINISH: "COMPLETED, which inventory has not said",
    Rule.NO_SWEEPER: "something is still owed",
    Rule.NO_EXPIRER: "something is still owed",
    Rule.NO_RECONCILER: "something is still owed",
    Rule.ASSIGN_NOT_IDEMPOTENT: "was dispatched 2 times",
    Rule.REGISTER_FORGOTTEN: "lost of",
    Rule.NO_TOMBSTONE: "robots have it",
    Rule.RELEASE_REVOKES_STARTED: "robots have it",
    Rule.PICK_WITHOUT_START: "on hand",
    Rule.NO_ITEMS_COMPARED: "was quoted",
    Rule.ASSIGN_OVERSELLS: "oversold",
}


def found_without(omitted: Rule) -> Iterator[str]:
    for seed in range(SEEDS):
        yield from check_run(simulate(seed, omitted))


@pytest.mark.parametrize("omitted", Rule, ids=lambda omitted: omitted.name)
def test_a_port_without_a_rule_fails_a_check(omitted: Rule) -> None:
    assert any(HARMS[omitted] in harm for harm in found_without(omitted)), f"nothing happens without: {omitted}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_a_product_without_a_rule_fails_a_check(mutant: Mutant) -> None:
    ended = run_mutant(mutant)
    assert ended.returncode == 1, f"nothing happens without: {mutant.rule}\n{ended.stderr[-1_000:]}"
    assert mutant.found in ended.stdout
    assert "replay: python -m tests.proofs.simulation --seed" in ended.stdout
