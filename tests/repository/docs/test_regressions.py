"""Every bug of the list has a test, and every test of the list is there."""

from __future__ import annotations

import re

import pytest

from .conftest import ROOT

PAGE = ROOT / "docs" / "REGRESSIONS.md"
TEST = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")
HEADS = ("| bug |", "| trap |", "| --- |")
BUGS = [
    row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ") and not row.startswith(HEADS)
]


def test_the_list_is_whole() -> None:
    assert len(BUGS) == len(set(BUGS)) >= 26


@pytest.mark.parametrize("row", BUGS, ids=lambda row: row.split("|")[1].strip())
def test_a_bug_has_tests_that_are_there(row: str) -> None:
    named = TEST.findall(row)
    assert named
    for name, file in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name
