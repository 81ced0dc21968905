"""docs/CONTRACT.md names the routes, calls and commands that exist, and no others."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.__main__ import parser
from autogrocery.contracts.inventory.picks.v1 import picks_pb2
from autogrocery.contracts.inventory.v1 import inventory_pb2
from autogrocery.contracts.pricing.v1 import pricing_pb2
from tests.repository.tracked import ROOT
from tools.gen_security import route_access

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = (ROOT / "docs" / "CONTRACT.md").read_text(encoding="utf-8")
OUTSIDE_THE_TABLES = {("GET", "/openapi.json"), ("GET", "/docs")}


def first_cells(head: str) -> Iterator[str]:
    """Yield the first cell of each row of the table whose head begins with `head`."""
    table = TEXT.split(f"| {head} |", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[2:]:
        yield re.split(r"(?<!\\)\|", line)[1].strip()


def test_routes_of_the_contract_are_those_of_the_route_tables() -> None:
    rows = [line.split("|")[1] for line in TEXT.splitlines() if re.match(r"\| (GET|POST|PUT|PATCH) `", line)]
    named = {(row.split()[0], path) for row in rows for path in re.findall(r"`(/[^?`]*)", row)}
    assert named | OUTSIDE_THE_TABLES == {(one.method, one.path) for one in route_access()}


@pytest.mark.parametrize("file", [inventory_pb2, picks_pb2, pricing_pb2], ids=["inventory", "picks", "pricing"])
def test_calls_of_the_contract_are_those_of_the_service(file: Any) -> None:
    for service in file.DESCRIPTOR.services_by_name.values():
        named = {name for cell in first_cells(service.name) for name in re.findall(r"`(\w+)`", cell)}
        assert named == {method.name for method in service.methods}


def test_commands_of_the_contract_are_those_of_the_command_line() -> None:
    cells = [name for cell in first_cells("command") for name in re.findall(r"`([^`]+)`", cell)]
    named = {name for cell in cells for name in re.split(r"\\\|", cell.split()[0])}
    choices = next(one.choices for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    assert named == set(choices)
