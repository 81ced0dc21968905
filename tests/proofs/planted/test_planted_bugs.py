"""Each planted bug fails the test that is meant to catch it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.proofs.planted.bugs import BUGS, Bug
from tests.proofs.planted.planting import TESTS_FAILED, plant, run, suite_of

if TYPE_CHECKING:
    from pathlib import Path

QUICK_S = 110.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    found = run(suite_of(bug.quick), plant(bug, tmp_path), QUICK_S)
    assert found.returncode == TESTS_FAILED, found.stdout[-3_000:] + found.stderr[-1_000:]


def test_the_copy_without_a_bug_passes(tmp_path: Path) -> None:
    found = run(
        suite_of("tests/unit/kit/http/test_http_wire.py -k hangs_up"), plant(Bug("none", (), ""), tmp_path), QUICK_S
    )
    assert found.returncode == 0, found.stdout[-3_000:] + found.stderr[-1_000:]
