"""The commands of the pages work: TOUR's and RUNBOOK's are run against a network, all others are parsed."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from autogrocery.__main__ import parser
from tests.repository.markdown import blocks
from tests.repository.tracked import ROOT, tracked

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Network

README = ROOT / "README.md"
TOUR = ROOT / "docs" / "TOUR.md"
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]
STEPS = [block for block in blocks(TOUR, "sh") if not block.startswith("make ")]


def commands(document: Path) -> list[str]:
    lines = [line for language in ("sh", "text") for block in blocks(document, language) for line in block.splitlines()]
    return [line for line in lines if line.startswith("autogrocery ")]


def answers(text: str) -> list[dict[str, object]]:
    """Return the JSON bodies among the lines of an output."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_tour_takes_an_order_from_preview_to_its_end(network: Network) -> None:
    ran = network.run("\n".join(STEPS))
    assert ran.returncode == 0, ran.stderr
    bodies = answers(ran.stdout)
    statuses = [body["status"] for body in bodies if "order_id" in body]
    assert statuses[:2] == ["PREVIEWED", "PROCESSING"], ran.stdout
    history = bodies[-1]["data"]
    assert isinstance(history, list)
    assert [event["to"] for event in history][:2] == ["PREVIEWED", "PROCESSING"]
    assert history[-1]["to"] in {"COMPLETED", "FAILED"}
    assert "event: status" in ran.stdout
    assert not [body for body in bodies if "request_id" in body], ran.stdout  # a problem


@pytest.fixture(scope="session")
def order_id(network: Network) -> str:
    """The id of an order that was made by the commands of TOUR."""
    made = network.run(
        "\n".join(STEPS[:4]).replace("kitchen-fridge", "pantry-fridge") + '\necho; echo "ORDER $ORDER_ID"'
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.rsplit("ORDER ", 1)[1].strip()


RUN = [line for block in blocks(RUNBOOK, "sh") for line in block.splitlines()]


@pytest.mark.parametrize("command", RUN)
def test_command_of_the_runbook_succeeds(network: Network, order_id: str, command: str) -> None:
    ran = network.run(f"ORDER_ID={order_id}\n{command}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout or ran.stderr or command == "autogrocery migrate"  # which has nothing to do here
    assert "request_id" not in ran.stdout  # a problem


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_a_block_are_parsed_by_the_command_line(document: Path) -> None:
    for line in commands(document):
        parser().parse_args(shlex.split(line, comments=True)[1:])


def test_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = {page: page.read_text(encoding="utf-8") for page in DOCUMENTS}
    named = {page: set(re.findall(r"(?:^|`)make ([a-z-]+)", text[page], re.MULTILINE)) for page in DOCUMENTS}
    assert {"demo", "test"} <= named[README]
    assert {page.name: found - targets for page, found in named.items() if found - targets} == {}


def test_addresses_in_the_pages_are_the_defaults() -> None:
    settings = (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    for document in (README, TOUR, RUNBOOK):
        for address in set(re.findall(r"127\.0\.0\.1:\d+", document.read_text(encoding="utf-8"))):
            assert address in settings
