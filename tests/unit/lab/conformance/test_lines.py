"""The tables of lines: ids are unique, needs come first, and docs/PEERS.md names only lines that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autogrocery.lab.conformance import (
    Line,
    dispatch_lines,
    hostile_lines,
    pricing_lines,
    reserve_lines,
    restart_lines,
    webhook_lines,
)
from autogrocery.lab.conformance.run import select

PEERS = Path(__file__).resolve().parents[4] / "docs" / "PEERS.md"
INVENTORY = (
    *reserve_lines.LINES,
    *dispatch_lines.LINES,
    *hostile_lines.LINES,
    *restart_lines.lines(),
    *webhook_lines.LINES,
    hostile_lines.IN_TIME,
)
PRICING = pricing_lines.lines()
LINE_ID = re.compile(r"\b(?:K[1-5]\.\d+|[DHLPQRSUW]\d)\b")


def ids(lines: tuple[Line, ...]) -> list[str]:
    return [line.line_id for line in lines]


@pytest.mark.parametrize("lines", [INVENTORY, PRICING], ids=["inventory", "pricing"])
def test_ids_are_unique_and_needs_come_first(lines: tuple[Line, ...]) -> None:
    assert len(set(ids(lines))) == len(lines)
    for number, line in enumerate(lines):
        assert set(line.needs) <= set(ids(lines)[:number]), line.line_id
        assert LINE_ID.fullmatch(line.line_id)


def test_peers_page_names_lines_that_exist() -> None:
    named = set(LINE_ID.findall(PEERS.read_text(encoding="utf-8")))
    assert named
    assert named <= {*ids(INVENTORY), *ids(PRICING)}


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (("K5",), ["K5.1", "K5.2", "K5.3", "K5.4", "K5.5", "K5.6"]),
        (("K1.1",), ["K1.1"]),
        (("W",), ["W1", "W2", "W3", "W4", "W5"]),
        (("S", "D1"), ["S1", "S2", "S3", "S4", "S5", "D1"]),
        (("K",), [one for one in ids(INVENTORY) if one.startswith("K")]),
        (("X",), []),
    ],
)
def test_only_selects_lines_and_groups(only: tuple[str, ...], chosen: list[str]) -> None:
    assert [line.line_id for line in select(INVENTORY, only)] == chosen
