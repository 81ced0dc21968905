"""Every bug of docs/REGRESSIONS.md names tests, and every test that it names exists."""

from __future__ import annotations

import re

import pytest

from tests.repository.tracked import ROOT

PAGE = ROOT / "docs" / "REGRESSIONS.md"
TEST = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")
HEADS = ("| bug |", "| trap |", "| --- |")
BUGS = [
    row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ") and not row.startswith(HEADS)
]


def test_the_list_has_no_duplicate_and_no_fewer_bugs() -> None:
    assert len(BUGS) == len(set(BUGS)) >= 26


@pytest.mark.parametrize("row", BUGS, ids=lambda row: row.split("|")[1].strip())
def test_the_tests_of_a_bug_exist(row: str) -> None:
    named = TEST.findall(row)
    assert named
    for name, file in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name
